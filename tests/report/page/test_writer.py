"""Pages: what is printed in them, what they allow, and how they come into files."""

from __future__ import annotations

import builtins
import html
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtrace_onnx.errors import RequestError
from backtrace_onnx.report.page import writer
from backtrace_onnx.report.page.page_facts import PageFacts
from backtrace_onnx.report.page.writer import (
    LONGEST,
    Safe,
    Whole,
    breakable,
    make_page,
    shown,
    write_page,
)
from tests.report.page.pages import parsed

HOSTILE = (
    "<script>window.hacked=1</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><b>",
    "{{ 7 * 7 }}{% raw %}",
    "a\x00b\x1b[31mred\u202ereversed\u2066",
    "\udcff is half a letter",
    "עברית של שם",
)


class Nobody:
    """An explanation of which a page says its output and mode only."""

    output, mode, computes = "y", "lrp", ""


def page_of(text: str) -> str:
    """A page that prints a text wherever one may stand."""
    facts = PageFacts(text, text, ((text, text),))
    return make_page("explanation", title=text, samples=[], left=0, explanation=Nobody, facts=facts)


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_text_and_nothing_else(text: str) -> None:
    made = page_of(text)
    page = parsed(made)
    assert not page.all("img") and not page.all("b") and len(page.all("script")) == 1
    (title,) = page.all("title")
    assert title.text == shown(text)
    assert "49" not in title.text
    for mark in "\x00\x1b\u202e\u2066":
        assert mark not in made
    made.encode("utf-8")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_what_a_reader_sees(text: str) -> None:
    page = parsed(page_of(text))
    (title,) = page.all("title")
    assert title.text.split() == shown(text).split()


def test_long_texts_are_cut_in_their_middle_unless_all_of_them_is_needed() -> None:
    text = "a" * 5000 + "z" * 5000
    cut = shown(text)
    assert len(cut) < LONGEST + 10 and cut.startswith("aaa") and cut.endswith("zzz")
    assert shown(Whole(text)) == text
    assert shown(Safe("<b>" * 1000)) == "<b>" * 1000


def test_names_break_behind_their_parts_and_stay_escaped() -> None:
    assert str(breakable("a.b/<i>_c.")) == "a.<wbr>b/<wbr>&lt;i&gt;_<wbr>c."
    assert html.unescape(str(breakable("x&y")).replace("<wbr>", "")) == "x&y"


def test_a_page_says_nothing_of_when_it_was_made() -> None:
    assert page_of("x") == page_of("x")


def test_files_are_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    write_page(path, "old")
    with pytest.raises(RequestError, match="is a folder"):
        write_page(tmp_path, "x")
    with pytest.raises(RequestError, match="cannot be written"):
        write_page(tmp_path / "absent" / "page.html", "x")

    def full(self: Path, *_: Any, **__: Any) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RequestError, match=r"page\.html: cannot be written \(No space left"):
        write_page(path, "new")
    assert path.read_text() == "old" and [f.name for f in tmp_path.iterdir()] == ["page.html"]


def test_without_jinja2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "find_spec", lambda name: None)
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name != "jinja2"
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(RequestError, match=r"pip install 'backtrace-onnx\[html\]'"):
        page_of("x")
