"""Data frames of every library, records and columns: the same tables, or one clear error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, InputError
from backtrace_onnx.inputs.frames import from_columns, from_frame, from_records, is_frame
from tests.graphs import mlp

LIBRARIES = ["pandas", "polars", "pyarrow"]
COLUMNS = {"a": [1.5, None, 2.0], "b": [1, 2, 3], "c": ["x", None, "y"], "d": [True, False, True]}


def made(library: str, columns: dict[str, Any]) -> Any:
    found = pytest.importorskip(library)
    build: dict[str, Callable[[Any], Any]] = {
        "pandas": lambda c: found.DataFrame(c),
        "polars": lambda c: found.DataFrame(c),
        "pyarrow": lambda c: found.table(c),
    }
    return build[library](columns)


def plain(values: Any) -> list[Any]:
    return [None if v is None or v != v else v for v in values.tolist()]


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_of_every_library_are_the_same_table(library: str) -> None:
    table = from_frame(made(library, COLUMNS))
    assert {name: plain(values) for name, values in table.columns.items()} == COLUMNS
    assert table.rows == 3 and table.columns["b"].dtype == np.int64
    assert table.records()[0] == {"a": 1.5, "b": 1, "c": "x", "d": True}


def test_types_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "category": pandas.Categorical(["u", None, "v"], categories=["v", "u", "w"]),
            "whole": pandas.array([2**60 + 1, None, 3], dtype="Int64"),
            "flag": pandas.array([True, None, False], dtype="boolean"),
            "day": [dt.date(2024, 1, 5), None, dt.date(2024, 1, 6)],
            "mixed": [1, "z", None],
            "sparse": pandas.arrays.SparseArray([0.0, 1.0, 0.0]),
        },
        index=[7, 8, 9],
    )
    table = from_frame(frame)
    assert plain(table.columns["category"]) == ["u", None, "v"]
    assert plain(table.columns["whole"]) == [2**60 + 1, None, 3]
    assert plain(table.columns["flag"]) == [True, None, False]
    assert plain(table.columns["day"]) == [dt.date(2024, 1, 5), None, dt.date(2024, 1, 6)]
    assert plain(table.columns["mixed"]) == [1, "z", None]
    assert plain(table.columns["sparse"]) == [0.0, 1.0, 0.0]


def test_types_of_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "category": polars.Series(["u", None], dtype=polars.Categorical),
            "whole": [2**60 + 1, None],
            "small": polars.Series([1, 2], dtype=polars.UInt8),
            "price": polars.Series(["1.25", None]).cast(polars.Decimal(scale=2)),
        }
    )
    table = from_frame(frame)
    assert plain(table.columns["category"]) == ["u", None]
    assert plain(table.columns["whole"]) == [2**60 + 1, None]
    assert table.columns["small"].dtype == np.uint8
    assert [None if p is None else float(p) for p in table.columns["price"]] == [1.25, None]
    assert is_frame(frame.lazy())
    with pytest.raises(InputError, match=r"is lazy: give frame\.collect\(\)"):
        from_frame(frame.lazy())
    with pytest.raises(InputError, match="is lazy"):
        Explainer(mlp()).explain(frame.lazy())
    with pytest.raises(InputError, match="column 'l' holds List"):
        from_frame(polars.DataFrame({"l": [[1], [2]]}))


def test_batches_of_rows_of_pyarrow_are_tables() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    batch = pyarrow.RecordBatch.from_pydict(COLUMNS)
    assert is_frame(batch)
    found = from_frame(batch).columns
    assert {name: plain(values) for name, values in found.items()} == COLUMNS


def test_types_of_pyarrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    words = [arrow.array(part).dictionary_encode() for part in (["x", None], ["y", "x"])]
    table = from_frame(
        arrow.table(
            {
                "n": arrow.chunked_array([[1, 2], [], [None, 2**60 + 1]]),
                "w": arrow.chunked_array(words),
                "none": arrow.nulls(4),
            }
        )
    )
    assert plain(table.columns["n"]) == [1, 2, None, 2**60 + 1]
    assert plain(table.columns["w"]) == ["x", None, "y", "x"]
    assert plain(table.columns["none"]) == [None] * 4
    with pytest.raises(InputError, match="names a column twice"):
        from_frame(arrow.table([[1], [2]], names=["a", "a"]))


def test_odd_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    assert list(from_frame(pandas.DataFrame([[1, 2]])).columns) == ["0", "1"]
    levels = pandas.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    assert list(from_frame(pandas.DataFrame([[1, 2]], columns=levels)).columns) == ["a.b", "a.c"]
    with pytest.raises(InputError, match="names a column twice"):
        from_frame(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InputError, match="names column '1' twice"):
        from_frame(pandas.DataFrame([[1, 2]], columns=[1, "1"]))
    with pytest.raises(InputError, match="has no rows"):
        from_frame(pandas.DataFrame({"a": []}))
    with pytest.raises(InputError, match="row 1, column 'a': holds a list"):
        from_frame(pandas.DataFrame({"a": [[1], [2]]}))


def test_records_and_columns() -> None:
    by_row = from_records([{"a": 1, "b": None}, {"b": "x", "a": 2.5}], "r.json")
    by_column = from_columns({"a": (1, 2.5), "b": [None, "x"]}, "c.json")
    assert by_row.records() == by_column.records() == [{"a": 1, "b": None}, {"a": 2.5, "b": "x"}]
    assert from_columns({"a": 1, "b": "x"}, "one").records() == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"a": 1}, {}], "row 2 has no 'a'"),
        ([{"a": 1}, {"a": 1, "b": 2}], "row 2 has 'b', which row 1 has not"),
        ([{}], "has no columns"),
        ([{"a": {"b": 1}}], "row 1, column 'a': holds an object"),
        ([{"a": 1}, {"a": [1]}], "row 2, column 'a': holds a list"),
    ],
)
def test_odd_records(rows: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"r\.json: {words}"):
        from_records(rows, "r.json")


def test_columns_of_other_lengths() -> None:
    with pytest.raises(InputError, match="not of one length: a 1, b 2"):
        from_columns({"a": [1], "b": [1, 2]}, "c")
    with pytest.raises(InputError, match="has no rows"):
        from_columns({"a": []}, "c")
