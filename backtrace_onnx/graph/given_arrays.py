"""Arrays that a caller gives beside the inputs, in the dtype that is wanted of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.input_checking import lost_in

Array = npt.NDArray[Any]


def array_as(given: Any, wanted: npt.DTypeLike, what: str) -> Array:
    """What is given as an array of a dtype, with no value changed by more than its rounding.

    Args:
        what: it is, as errors call it: "baseline of 'x'".

    Raises:
        RequestError: it is no array of such values, or one of them does not fit.
    """
    dtype = np.dtype(wanted)
    given = given.detach().cpu() if hasattr(given, "detach") else given  # torch, with its gradient
    array = _read(given, what)
    if dtype.kind in "OUS":
        return _texts(array, what)
    array = _of_objects(array, dtype, what) if array.dtype.kind == "O" else array
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise RequestError(f"{what} holds {array.dtype}, and {dtype} is taken{_hint(array)}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    lost = cast != array if dtype.kind == "b" else lost_in(array, cast)
    if lost.any():
        at = tuple(int(i) for i in np.argwhere(lost)[0])
        place = f" at {at}" if at else ""
        raise RequestError(f"{what}: the value {array[at]}{place} does not fit into {dtype}")
    return cast


def _read(given: Any, what: str) -> Array:
    try:
        return np.asarray(given)
    except ValueError:
        raise RequestError(f"{what} is no array: its lists are not all of one length") from None
    except (TypeError, RuntimeError) as error:
        raise RequestError(f"{what} cannot be read as an array: {error}") from None


def _texts(array: Array, what: str) -> Array:
    """Texts as objects, as onnxruntime takes them."""
    if not all(isinstance(text, str) for text in array.flat):
        raise RequestError(f"{what} holds {array.dtype}, and texts are taken")
    return array.astype(object)


def _of_objects(array: Array, dtype: np.dtype[Any], what: str) -> Array:
    """Numbers that lie in an array as objects; None is missing, which is NaN where that is one."""
    for at, value in np.ndenumerate(array):
        is_number = isinstance(value, int | float | np.integer | np.floating | np.bool_)
        if not is_number and not (value is None and dtype.kind == "f"):
            raise RequestError(f"{what} holds {value!r} at {at}, which is no number")
    whole = all(isinstance(value, int | np.integer) for value in array.flat)
    try:
        return array.astype(np.int64 if whole else np.float64)
    except OverflowError:
        return array.astype(np.float64)


def _hint(array: Array) -> str:
    """What to do with values of such a kind."""
    if array.dtype.kind == "c":
        return ": give the real part, or the magnitude, of complex numbers"
    return ": give numbers"


__all__ = ["array_as"]
