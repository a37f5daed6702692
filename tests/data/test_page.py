"""What docs/datasets.md shows is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "datasets.md").read_text("utf-8")


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    example = "\n".join(re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(example, {}, "datasets.md", None, None)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner().run(test, out=said.append)
    assert tried > 5
    assert not failed, "".join(said)


def test_columns_that_are_named_exist(tmp_path: Path) -> None:
    from backtrace_onnx import explain_dataset

    made = explain_dataset(
        ROOT / "models" / "adult_mlp.onnx", ROOT / "models" / "samples" / "adult.csv", tmp_path
    )
    stems = {name.partition("/")[0] for name in made.read().column_names}
    (section,) = re.findall(r"## What is written\n(.*?)\n## ", PAGE, re.DOTALL)
    told = {name.partition("/")[0] for name in re.findall(r"`([a-z_]+(?:/[^`]*)?)`", section)}
    assert stems <= told
