"""The page of `--html`: what command it is of, how it is written, and how it is opened."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.files_apart import check_apart
from backtrace_onnx.errors import RequestError

if TYPE_CHECKING:
    from backtrace_onnx.report.console import Waiting
    from backtrace_onnx.report.explained_sample import ExplainedSample

_TYPED = "backtrace_onnx.typed"
_FILES = ("--out", "--html")
_READ = ("sidecar", "tokenizer", "background", "reasons")
_FLAGS = ("--json", "--open")


class TypedCommand(click.Command):
    """A command that remembers what was typed behind its name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, and read them."""
        ctx.meta[_TYPED] = list(args)
        return super().parse_args(ctx, args)


def typed(context: click.Context) -> str:
    """The command as it was typed, without what says where its results go."""
    kept: list[str] = []
    words = iter(context.meta.get(_TYPED, ()))
    for word in words:
        name, joined, _ = word.partition("=")
        if name in _FILES:
            if not joined:
                next(words, None)
        elif word not in _FLAGS:
            kept.append(word)
    return shlex.join(["backtrace-onnx", context.info_name or "", *kept])


class Page:
    """The page of an explanation, if one is asked for.

    Args:
        html: its file. opened: whether it is shown in a browser. asked: the other options.

    Raises RequestError where it is to be opened, and there is none, or its file is one that is
    read.
    """

    def __init__(self, html: Path | None, opened: bool, asked: Mapping[str, Any]) -> None:
        self._html, self._opened = html, opened
        read = (asked["mode"], *map(asked.get, _READ), *asked["baselines"])
        check_apart((html,), (asked["model"],), read, asked["inputs"])
        if html is None and opened:
            raise RequestError("--open shows a page; name its file: --html FILE")

    @property
    def wanted(self) -> bool:
        """Whether there is to be one."""
        return self._html is not None

    def write(
        self, model: Path, subjects: Sequence[ExplainedSample], waiting: Waiting
    ) -> list[str]:
        """Write the page if one was asked for, and return its name. Raises RequestError."""
        if self._html is None:
            return []
        from backtrace_onnx.report.page.explanation_page import explanation_page
        from backtrace_onnx.report.page.page_facts import page_facts
        from backtrace_onnx.report.page.writer import write_page

        waiting.say("Writing the page")
        command = typed(click.get_current_context())
        made = list({id(s.explanation): s.explanation for s in subjects}.values())
        facts = page_facts(model, made, command=command, support=subjects[0].support)
        write_page(self._html, explanation_page(subjects, facts))
        return [str(self._html)]

    def open(self) -> None:
        """Show the page in the browser that the desktop has, if that was asked for."""
        if self._html is not None and self._opened:
            click.launch(self._html.absolute().as_uri())


__all__ = ["Page", "TypedCommand", "typed"]
