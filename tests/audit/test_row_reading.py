"""Tables that are streamed into an audit: the rows that a whole table has, in less memory."""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from backtrace_onnx import Explainer, InputError
from backtrace_onnx.audit import row_reading
from backtrace_onnx.audit.data import read_data
from backtrace_onnx.audit.row_reading import join_rows
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar
from tests.command_line import ADULT, ROWS

KEPT = KeptColumns(labels=("loan",), groups=("gender",))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    header, *rows = ROWS.read_text().splitlines()
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([header, *rows * 3]))
    return path


def test_rows_are_those_of_the_whole_table(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_reading, "_ROWS", 4)
    graph, sidecar = Explainer(ADULT).graph, Sidecar.beside(ADULT)
    found = read_data([str(table), str(table)], graph, sidecar, KEPT)
    whole = InputReader(graph, sidecar).read([str(table)])
    assert found.count == 30 and found.names == whole.names
    for name, x in whole.feeds.items():
        np.testing.assert_array_equal(found.feeds[name], np.concatenate([x, x]))
    cells = [line.split(",") for line in table.read_text().splitlines()]
    for name, column in (("loan", found.labels), ("gender", found.groups["gender"])):
        own = [row[cells[0].index(name)].strip() for row in cells[1:]]
        assert column is not None and column.tolist() == own * 2
    content = table.read_bytes()
    both = (str(len(content)).encode() + b":" + content) * 2
    assert found.sha256 == hashlib.sha256(both).hexdigest()


def test_errors_name_file_line_and_column(table: Path) -> None:
    graph, sidecar = Explainer(ADULT).graph, Sidecar.beside(ADULT)
    lines = table.read_text().splitlines()
    with pytest.raises(InputError, match=r"has no column 'lone' \(did you mean: loan"):
        read_data([str(table)], graph, sidecar, KeptColumns(labels=("lone",)))
    table.write_text("\n".join([*lines[:3], "many," + lines[3].partition(",")[2], *lines[4:]]))
    with pytest.raises(InputError, match=r"rows\.csv: line 4, column 'age': 'many'"):
        read_data([str(table)], graph, sidecar, KeptColumns())
    table.write_text(lines[0] + "\n")
    with pytest.raises(InputError, match=r"rows\.csv: no rows"):
        read_data([str(table)], graph, sidecar, KEPT)


def test_parts_are_let_go_of_as_they_are_joined() -> None:
    parts = deque([np.ones((2, 3)), np.zeros((1, 3))])
    assert join_rows(parts).tolist() == [[1.0] * 3, [1.0] * 3, [0.0] * 3]
    assert not parts and len(join_rows(parts)) == 0
