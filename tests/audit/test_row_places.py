"""Places of rows over blocks: lines with gaps, numbers, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backtrace_onnx.audit.row_places import RowPlaces
from backtrace_onnx.data.reading import find_files


def test_rows_are_called_as_their_blocks_call_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n\n2\n3\n")
    np.save(tmp_path / "b.npy", np.zeros((3, 1)))
    for name in ("c.png", "d.png"):
        (tmp_path / name).touch()
    names = [tmp_path / name for name in ("a.csv", "b.npy", "c.png", "d.png")]
    places, wanted = RowPlaces(), []
    for file in find_files(names):
        for block in file.blocks(2):
            places.add(block)
            files = block.kind == "files"
            wanted += [
                str(block.columns["file"][row]) if files else block.place(row)
                for row in range(block.rows)
            ]
    assert [places(row) for row in range(len(wanted))] == wanted
    assert wanted[1] == f"{tmp_path / 'a.csv'}: line 4"
    assert wanted[-1] == str(tmp_path / "d.png")
