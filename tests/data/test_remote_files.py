"""Data sets by URL, from a file system that fsspec keeps in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import InputError, explain_dataset
from tests.graphs import mlp, normal

fsspec = pytest.importorskip("fsspec")
ROWS = normal(20, 4)


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.pipe("/sets/a/x.csv", csv(ROWS[:12]))
    system.pipe("/sets/b/x.csv", csv(ROWS[12:]))
    system.pipe("/sets/about.md", b"no data")
    yield system
    system.rm("/sets", recursive=True)


def csv(rows: Any) -> bytes:
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    return "\n".join(["a,b,c,d", *lines]).encode()


def relevance(made: Any) -> Any:
    table = made.read()
    return [table[name].to_pylist() for name in table.column_names if name[:9] == "relevance"]


@pytest.mark.parametrize("data", ["memory://sets", "memory://sets/*/x.csv"])
def test_they_are_explained_as_files_here_and_a_run_goes_on(
    data: str, memory: Any, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_bytes(csv(ROWS))
    wanted = relevance(explain_dataset(mlp(), tmp_path / "x.csv", tmp_path / "here", batch=4))
    made = explain_dataset(mlp(), data, tmp_path / "out", batch=4, part_rows=8)
    np.testing.assert_array_equal(relevance(made), wanted)
    names = made.read()["row/file"].to_pylist()
    assert names == ["memory:///sets/a/x.csv"] * 12 + ["memory:///sets/b/x.csv"] * 8
    made.parts[1].unlink()
    again = explain_dataset(mlp(), data, tmp_path / "out", batch=4, part_rows=8)
    assert again.resumed == 1
    np.testing.assert_array_equal(relevance(again), wanted)


def test_other_kinds_of_files(memory: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    np.savez(tmp_path / "x.npz", x=ROWS)
    columns = {name: ROWS[:, i].tolist() for i, name in enumerate("abcd")}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    rows = ["{" + ", ".join(f'"{k}": {v[i]}' for k, v in columns.items()) + "}" for i in range(20)]
    (tmp_path / "x.jsonl").write_text("\n".join(rows))
    for name in ("x.npz", "x.parquet", "x.jsonl"):
        memory.put_file(str(tmp_path / name), f"/sets/{name}")
        here = explain_dataset(mlp(), tmp_path / name, tmp_path / f"here-{name}")
        there = explain_dataset(mlp(), f"memory://sets/{name}", tmp_path / f"there-{name}")
        np.testing.assert_array_equal(relevance(there), relevance(here))


def test_bad_rows_are_named_by_url_and_line(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/sets/a/x.csv", csv(ROWS) + b"\n1,2,3")
    with pytest.raises(InputError, match=r"memory:///?sets/a/x\.csv: line 22 has 3 values"):
        explain_dataset(mlp(), "memory://sets/a/x.csv", tmp_path / "out")


def test_what_is_not_there(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe("/sets/cat.png", b"")
    memory.mkdir("/sets/none")
    for url, what in (
        ("memory://sets/c.csv", r"memory://sets/c\.csv: no such file"),
        ("memory://sets/*.csv", "no such file"),
        ("memory://sets/about.md", r"data are \.csv, .*, not \.md"),
        ("memory://sets/cat.png", "pictures and sound are read from this machine"),
        ("nowhere://sets/x.csv", r"nowhere://sets/x\.csv: cannot be read \(ValueError: Protocol"),
    ):
        with pytest.raises(InputError, match=what):
            explain_dataset(mlp(), url, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match="need fsspec, which is not installed"):
        explain_dataset(mlp(), "memory://sets", tmp_path / "out")
