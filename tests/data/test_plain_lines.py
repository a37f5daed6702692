"""Lines that Arrow reads are those that Python's reader reads, cell by cell, and no others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from backtrace_onnx.data.csv_blocks import csv_blocks
from backtrace_onnx.data.plain_lines import PlainLines
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.csv_files import stream_lines

UGLY = ["", " ", "1", "-0", "x y", '"q"', '"a,b"', '""', '"', 'a"b', '"a""b"', "\t", "é", "NA", "'"]
ENDS = ["\n", "\r\n", "\r", "\n\n", "\n,\n", '\n"a\nb",c\n', "\nlonely\n", "\0\n", "\n\ufeff1,2\n"]


def by_python(path: Path) -> list[tuple[int, list[str]]]:
    (_, header), *lines = stream_lines(path)
    return [(number, cells) for number, cells in lines if len(cells) == len(header)]


def by_blocks(path: Path, rows: int) -> list[tuple[int, list[str]]]:
    found = []
    for block in csv_blocks(path, rows):
        cells = zip(*(column.tolist() for column in block.columns.values()), strict=True)
        found += list(zip(block.lines, map(list, cells), strict=True))
    return found


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("ugly", [0.0, 0.02, 0.3])
def test_any_table_is_read_as_python_reads_it(ugly: float, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    text = "a;b\n" if seed % 3 == 0 else "a,b\n"
    mark = text[1]
    for i in range(60):
        cells = [rng.choice(UGLY) if rng.random() < ugly else str(i) for _ in range(2)]
        end = rng.choice(ENDS) if rng.random() < ugly / 4 else "\n"
        text += mark.join(cells).replace("a,b", f"a{mark}b") + end
    path = tmp_path / "t.csv"
    path.write_bytes((text if seed % 2 else text.rstrip("\n")).encode())
    try:
        wanted = by_python(path)
    except InputError as error:
        with pytest.raises(type(error)):
            by_blocks(path, 7)
        return
    assert by_blocks(path, 7) == wanted


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a,b\n1,2\n3,4\n", 2),
        ("\ufeffa,b\r\n1,2\r\n", 1),
        ('a,b\n"1,5","x"\n', 1),
        ("1,2\n3,4\n", 2),  # no header
        ("a,b\n,2\n", 1),
        ("a\n \n", None),  # a blank line is no row
        ("a,b\n,\n", None),
        ('a,b\n"1""2",3\n', None),
        ('a,b\n"1\n2",3\n', None),
        ('a,b\n1"2,3"4\n', None),
        ("a,b\n1,2,3\n", None),
        ("a,b\n1\r2,3\n", None),
        ("a,b\n", None),
    ],
)
def test_what_is_plain(text: str, read: int | None, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    with (tmp_path / "t.csv").open("rb") as file:
        table = PlainLines(file).read(9)
    assert (None if table is None else table.num_rows) == read


@pytest.mark.parametrize("first", ["", "\n", "sep=;\n", '"a",b\n', "a\r1\r", "a\0,b\n"])
def test_first_lines_that_are_not_plain_are_left_to_python(first: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(first.encode())
    with (tmp_path / "t.csv").open("rb") as file:
        assert PlainLines(file).header is None


def test_without_arrow_all_lines_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    (plain,) = csv_blocks(path, 9)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (alone,) = csv_blocks(path, 9)
    assert plain.arrow and not alone.arrow and alone.lines == plain.lines == (2, 3)
    assert {n: c.tolist() for n, c in alone.columns.items()} == {"a": ["1", "2"], "b": ["x", "y"]}
