"""Rows of .json files: objects, columns, arrays; what is none of them is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import ExplainBatches, InputError
from backtrace_onnx.data.reading import find_files
from backtrace_onnx.errors import RowError
from tests.column_models import people
from tests.data.test_reading import NAMES, ROWS, blocks
from tests.graphs import mlp

RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [record[name] for record in RECORDS] for name in NAMES}


@pytest.mark.parametrize("content", [RECORDS, COLUMNS])
def test_objects_and_columns_are_rows_as_of_any_table(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text(json.dumps(content))
    explain = ExplainBatches(people(), ids="name", mode="epsilon(absolute=1e-6)", target=0)
    first, second = (explain.explain(block).table for block in blocks(path))
    wanted = explain(COLUMNS)
    assert (len(first), len(second)) == (3, 1)
    for name in wanted.column_names:
        assert first[name].to_pylist() + second[name].to_pylist() == wanted[name].to_pylist()


def test_arrays_are_those_of_the_only_input(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 1], [1, 0, 0, 0]]")
    explain = ExplainBatches(mlp())
    found = [explain.encode(block).feeds["x"] for block in blocks(tmp_path / "x.json")]
    assert [x.tolist() for x in found] == [
        [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 1]],
        [[1, 0, 0, 0]],
    ]


WRONG = {
    "[": "not valid JSON",
    "3": "holds no rows",
    "[[1, 2], [3]]": "not all of the same length",
    '{"a": [1, 2], "b": [1]}': "not of one length: a 2, b 1",
    '{"a": 1, "a": 2}': "names 'a' twice",
}


@pytest.mark.parametrize("content", WRONG)
def test_what_holds_no_rows_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.json.*" + WRONG[content]):
        blocks(tmp_path / "x.json")


def test_rows_unlike_the_first_are_bad(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"x": [1, 2, 3, 4]}, {"x": [1, 2]}, {"y": 1}, {"x": [0, 0, 0, 1]}]')
    (block,) = blocks(path, 9)
    assert block.lines == (1, 4) and [bad.line for bad in block.bad] == [2, 3]
    assert block.bad[0].reason == (
        f"{path}: row 2: 'x' is a list of shape [2], in the first row a list of shape [4]"
    )
    with pytest.raises(RowError, match="row 2"):
        ExplainBatches(mlp()).encode(block)


def test_in_a_folder_json_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "net.sidecar.json").write_text("{}")
    np.save(tmp_path / "x.npy", np.ones((2, 4)))
    assert [file.kind for file in find_files(tmp_path)] == ["npy"]
