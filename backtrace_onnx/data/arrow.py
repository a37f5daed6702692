"""pyarrow, which is optional: imported when it is needed, and arrays as its columns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError

Array = npt.NDArray[Any]
_PLAIN = "fiub"


def need_arrow() -> Any:
    """The module pyarrow. Raises InputError with the pip line that installs it."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise InputError(
            "data sets and Arrow tables need pyarrow, which is not installed. "
            "Type: pip install 'backtrace-onnx[data]'"
        ) from None
    return pyarrow


def has_arrow() -> bool:
    """Whether pyarrow is installed."""
    try:
        need_arrow()
    except InputError:
        return False
    return True


def as_column(rows: Array) -> Any:
    """Arrays of rows [rows, ...] as one Arrow column: numbers or texts, or lists of them."""
    pa = need_arrow()
    rows = np.asarray(rows)
    if rows.dtype.kind not in (*_PLAIN, "O", "U", "M", "m"):  # bfloat16 and its like
        rows = rows.astype(np.float32)
    flat = np.ascontiguousarray(rows).reshape(-1)
    made = pa.array(flat.tolist() if rows.dtype.kind == "O" else flat)
    count = rows.size
    for size in reversed(rows.shape[1:]):
        count = count // size if size else len(rows)
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * size, pa.int32())
        made = pa.ListArray.from_arrays(offsets, made)
    return made


def as_texts(cells: Array) -> Any:
    """Cells of a file of lines as a column of texts, whatever they are in other lines."""
    pa = need_arrow()
    texts = cells.tolist()
    if set(map(type, texts)) != {str}:
        texts = [c if c is None or isinstance(c, str) else json.dumps(c) for c in texts]
    return pa.array(texts, pa.string())


def plain(column: Any) -> Any:
    """A column as other batches of the same data have it: texts of one type, no dictionaries."""
    pa = need_arrow()
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    texts = ("is_large_string", "is_string_view")
    if any(getattr(pa.types, test, lambda _: False)(kind) for test in texts):
        kind = pa.string()
    return column if kind == column.type else column.cast(kind)


def ragged(rows: Array, kept: npt.NDArray[np.bool_]) -> Any:
    """A column of lists, of the entries of [rows, entries] that are kept."""
    pa = need_arrow()
    ends = np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int32)
    values = rows[kept]
    flat = pa.array(values.tolist() if values.dtype.kind == "O" else values)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat)


def holds_lists(column: Any) -> bool:
    """Whether the cells of an Arrow column are arrays rather than single values."""
    pa = need_arrow()
    kind = column.type
    if isinstance(kind, pa.ExtensionType | pa.FixedShapeTensorType):
        return True
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in lists)


def as_array(column: Any) -> Array | None:
    """Lists of an Arrow column as one array [rows, ...]; None where its cells are single values.

    Raises InputError where the lists are not all of one length, or one is missing.
    """
    pa = need_arrow()
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if hasattr(column, "to_numpy_ndarray"):
        return np.asarray(column.to_numpy_ndarray())
    if isinstance(column.type, pa.ExtensionType):  # tensors of Ray and of Hugging Face
        return _stacked(list(column.to_numpy(zero_copy_only=False)))
    shape = [len(column)]
    while pa.types.is_nested(column.type) and hasattr(column, "value_lengths"):
        lengths = column.value_lengths()
        if column.null_count or len(lengths.unique()) > 1:
            raise InputError("holds lists that are not all of one length, or a list is missing")
        shape.append(lengths[0].as_py() if len(lengths) else 0)
        column = column.flatten()
    if len(shape) == 1:
        return None
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def stacked(cells: Any) -> Array | None:
    """Cells that are arrays or lists, as one array [rows, ...]; None where the first is neither.

    Raises InputError where they are not all of one shape.
    """
    listed = list(cells)
    first = next((cell for cell in listed if cell is not None), None)
    return _stacked(listed) if isinstance(first, list | tuple | np.ndarray) else None


def _stacked(cells: list[Any]) -> Array:
    try:
        made = np.stack([np.asarray(cell) for cell in cells]) if cells else np.empty((0, 0))
    except ValueError:
        raise InputError(
            "holds lists that are not all of one length, or a list is missing"
        ) from None
    if made.dtype.kind not in "fiubU":
        raise InputError(f"holds lists of {made.dtype} values, not of numbers")
    return made
