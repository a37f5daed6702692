"""What docs/pages.md shows in Python runs, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backtrace_onnx.report.page.stylesheet import MOST
from tests.report.page.pages import parsed

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "pages.md").read_text("utf-8")


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "docs/pages.md", "exec"), {})
    page = parsed((tmp_path / "two.html").read_text("utf-8"))
    assert len(page.all("input", type="radio")) == 2
    assert any(e.text == "models/mnist_cnn.onnx" for e in page.all("bdi"))


def test_limits_are_those_of_the_code() -> None:
    assert f"at most {MOST} samples and {MOST} answers" in TEXT
