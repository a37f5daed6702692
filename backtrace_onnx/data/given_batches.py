"""Batches as other libraries hand them over: Arrow, data frames, arrays or lists by column."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.arrow import stacked
from backtrace_onnx.data.arrow_columns import ArrowColumns
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.frames import Table, from_columns, from_frame, is_frame

Array = npt.NDArray[Any]
GIVEN = "the data"
"""What rows at hand are called."""


def as_block(batch: Any, source: str = "the batch") -> RowBlock:
    """A batch of rows: an Arrow table or batch, a data frame, or arrays or lists by column.

    Raises InputError for anything else, and for columns of lists that make up no array.
    """
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(batch, pyarrow.Table | pyarrow.RecordBatch):
        return arrow_block(batch, source)
    if isinstance(batch, Mapping):
        return _of_columns({str(name): column for name, column in batch.items()}, source)
    if not is_frame(batch):
        raise InputError(
            f"{source} is {type(batch).__name__}; a batch is an Arrow table, a data frame, or "
            "arrays by column"
        )
    return _of_frame(batch, source)


def is_given(data: Any) -> bool:
    """Whether data are rows themselves, rather than the names of files that hold them."""
    if isinstance(data, np.ndarray):
        return data.dtype.kind not in "USO"
    return isinstance(data, Mapping) or is_frame(data)


def given_rows(data: Any) -> RowBlock:
    """The rows of data that are given: those of `as_block`, or an array of the only input.

    Raises InputError where they are none.
    """
    source = GIVEN
    if isinstance(data, np.ndarray):
        if not data.ndim:
            raise InputError(f"{source}: a single number has no rows")
        block = RowBlock(source, {"": data}, "arrays")
    else:
        block = as_block(data, source)
    return replace(block, lines=tuple(range(1, block.rows + 1)))


def arrow_block(batch: Any, source: str) -> RowBlock:
    """The rows of an Arrow table or record batch."""
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    if len(given) < len(batch.schema.names):
        raise InputError(f"{source} names a column twice")
    return RowBlock(source, ArrowColumns(given, source), arrow=given)


def _of_frame(frame: Any, source: str) -> RowBlock:
    """The rows of a data frame of pandas, polars, ...; an index is left out."""
    import narwhals as nw

    if not hasattr(frame, "__len__") or len(frame):
        arrays = {}
        for name in list(frame.columns):
            series = frame[name]
            if str(getattr(series, "dtype", "")).startswith(("object", "List", "Array")):
                arrays[name] = _told(source, str(name), stacked, series.to_numpy())
        held = {name: array for name, array in arrays.items() if array is not None}
        rest = [name for name in frame.columns if name not in held]
        cells = _cells(frame[rest], source) if rest else {}
        named = {str(name): array for name, array in held.items()}
        columns = {str(n): _either(named.get(str(n)), cells.get(str(n))) for n in frame.columns}
    else:
        columns = {str(name): np.empty(0, object) for name in frame.columns}
    try:
        table = nw.from_native(frame, eager_only=True).to_arrow()
    except Exception:  # columns of mixed values, which Arrow has no type for
        return RowBlock(source, columns)
    return RowBlock(
        source, columns, arrow={n: table.column(n) for n in columns if n in table.schema.names}
    )


def _of_columns(given: Mapping[str, Any], source: str) -> RowBlock:
    columns: dict[str, Array] = {}
    for name, column in given.items():
        if isinstance(column, np.ndarray) and column.dtype.kind in "fiub" and column.ndim:
            columns[name] = column
            continue
        listed = column.to_pylist() if hasattr(column, "to_pylist") else column
        array = _told(source, name, stacked, listed)
        if array is None:
            own = from_columns({name: listed}, source).columns if len(listed) else {}
            array = own.get(name, np.empty(0, object))
        columns[name] = array
    if len({len(column) for column in columns.values()}) > 1:
        told = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise InputError(f"{source}: the columns are not of one length: {told}")
    return RowBlock(source, columns)


def _cells(frame: Any, source: str) -> Mapping[str, Array]:
    table: Table = from_frame(frame, source)
    return table.columns


def _either(array: Array | None, cells: Array | None) -> Array:
    found = cells if array is None else array
    return np.empty(0, object) if found is None else found


def _told(source: str, name: str, read: Any, column: Any) -> Array | None:
    try:
        found: Array | None = read(column)
    except InputError as error:
        raise InputError(f"{source}: column {name!r} {error}") from None
    return found
