"""`explain --html`: the page, the command that it names, and how it says no."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from backtrace_onnx.report.page import writer
from tests.command_line import ADULT, DIGIT, MNIST, ROWS
from tests.report.page.pages import parsed


def test_a_page_of_all_targets(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "digit.html"
    code, out, err = run("explain", MNIST, DIGIT, "--targets", "all", "--html", file)
    assert (code, err) == (0, "") and f"wrote {file}" in out
    text = file.read_text("utf-8")
    page = parsed(text)
    assert len(page.all("input", type="radio")) == 10
    assert [e for e in page.all("h1") if e.text.strip().startswith("digit_2.png: 2 (")]
    (code_,) = page.all("code")
    typed = ["backtrace-onnx", "explain", str(MNIST), str(DIGIT), "--targets", "all"]
    assert code_.text == shlex.join(typed)
    assert any("conv" in e.text for e in page.all("summary"))
    assert any("Conv" in e.text for e in page.all("th")), "the rules of the nodes"
    assert len(text) < 2_000_000
    run("explain", MNIST, DIGIT, "--targets", "all", "--json", f"--html={file}")
    assert file.read_text("utf-8") == text, "the same bytes each time"
    assert [f.name for f in tmp_path.iterdir()] == ["digit.html"]


def test_a_page_of_rows(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.html"
    assert run("explain", ADULT, ROWS, "--mode", "lrp", "--html", file)[0] == 0
    page = parsed(file.read_text("utf-8"))
    assert len(page.all("section", class_="sample")) == 5
    assert any("Married-civ-spouse" in e.text for e in page.all("th"))
    assert any(e.text.startswith("100 % = inputs ") for e in page.all("p", class_="sum"))


def test_opened_in_the_browser(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(click, "launch", seen.append)
    file = tmp_path / "a b.html"
    assert run("explain", MNIST, DIGIT, "--html", file, "--open")[0] == 0
    assert seen == [file.as_uri()]


def test_what_cannot_be_written_is_said_before_anything_is_computed(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = ("explain", tmp_path / "absent.onnx", DIGIT)
    code, _, err = run(*nothing, "--html", tmp_path)
    assert code == 2 and "is a folder" in err
    code, _, err = run(*nothing, "--html", tmp_path / "absent" / "x.html")
    assert code == 2 and "its folder is not there" in err
    code, _, err = run(*nothing, "--open")
    assert code == 2 and "--html FILE" in err
    monkeypatch.setattr(writer, "find_spec", lambda name: None)
    code, _, err = run(*nothing, "--html", tmp_path / "x.html")
    assert code == 2 and "backtrace-onnx[html]" in err
