"""What the command `explain` does with what it found: keep it in a folder, and print it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.messages.terminal_text import visible_json

if TYPE_CHECKING:
    from backtrace_onnx.report.console import Waiting
    from backtrace_onnx.report.explained_sample import ExplainedSample


def write_report(
    model: Path, subjects: Sequence[ExplainedSample], out: Path | None, top: int, waiting: Waiting
) -> list[str]:
    """Write the report's folder if one was asked for, and return its files. Raises RequestError."""
    if out is None:
        return []
    from backtrace_onnx.commands.report_folder import write_folder

    waiting.say("Drawing")
    return write_folder(str(model), subjects, out, top=top, progress=waiting.advance)


def print_report(
    model: Path, subjects: Sequence[ExplainedSample], files: Sequence[str], as_json: bool, top: int
) -> None:
    """Print the samples, for people or as JSON."""
    if as_json:
        from backtrace_onnx.report.json_report import record

        print_json(record(str(model), subjects, top=top, files=files))
        return
    from backtrace_onnx.report.console import console
    from backtrace_onnx.report.printed_report import print_samples

    print_samples(console(), subjects, top=top, files=files)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(visible_json(json.dumps(value, indent=1, ensure_ascii=False)))
