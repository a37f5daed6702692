"""Columns that Arrow holds, read as numbers without a look at every cell.

What is not plainly a number is left to readers of single cells, which say what is wrong with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

Array = npt.NDArray[Any]
# below these every whole number is one of the type and of float64
_EXACT = {
    np.dtype("f4"): 2**24,
    np.dtype("f8"): 2**53,
    np.dtype("i4"): 2**31,
    np.dtype("i8"): 2**53,
}


def plain_numbers(column: Any) -> Array | None:
    """float64[rows] of a column of finite numbers, or of texts that are such.

    None for other columns: those with a missing value, and with texts that are -0, which readers
    of cells take for the whole number 0.
    """
    import pyarrow as pa

    kind, texts = column.type, is_text(column.type)
    if column.null_count or not (texts or pa.types.is_integer(kind) or _is_float(kind)):
        return None
    if texts:
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            return None
    numbers = np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.float64)
    if not np.isfinite(numbers).all() or (texts and np.signbit(numbers[numbers == 0]).any()):
        return None
    return numbers


def column_elements(column: Any, element: int) -> Array | None:
    """A column as an input's elements, of an ONNX type; None where cells must be looked at."""
    if column is None or not is_text(column.type) or element == TensorProto.STRING:
        return None
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(element))
    numbers = plain_numbers(column) if wanted in _EXACT else None
    if numbers is None:
        return None
    if np.abs(numbers).max(initial=0) >= _EXACT[wanted]:
        return None
    made = numbers.astype(wanted)
    return None if wanted.kind == "i" and (made != numbers).any() else made


def text_places(column: Any) -> tuple[list[str], Array] | None:
    """The different texts of a column, and which of them each row holds; None of other columns."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        return None
    if is_text(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type) or not is_text(column.type.value_type):
        return None
    texts: list[str] = column.dictionary.to_pylist()
    return None if None in texts else (texts, np.asarray(column.indices.to_numpy()))


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of texts."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_float(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_float32(kind) or pa.types.is_float64(kind))


__all__ = ["column_elements", "is_text", "plain_numbers", "text_places"]
