"""Columns of tables: values of any kind turned exactly into the numbers or texts of an input."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

Array = npt.NDArray[Any]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_THOUSANDS = re.compile(
    r"[+-]?[0-9]{1,3}(?:[,.'_ \u00a0\u2009\u2019\u202f][0-9]{3})+(?:[.,][0-9]*)?"
)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_BLANKS = frozenset(("na", "n/a", "null", "none", "-", "?", "<na>", "#n/a", "missing"))
_WORDS = {"true": 1, "false": 0}
_TIMES = (date, datetime, time, timedelta, np.datetime64, np.timedelta64)


class CellError(ValueError):
    """A value that does not fit, and its row, counted from 0."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(what)
        self.row = row


@dataclass(frozen=True)
class Missing:
    """What becomes of a missing value.

    Attributes:
        value: what stands for it; None: nothing does.
        nan: whether the model has an answer for NaN.
    """

    value: Any = None
    nan: bool = False


def encode(values: Array, element: int, missing: Missing) -> Array:
    """A column [rows] as an input's elements, of an ONNX type. Raises CellError.

    Integers become floats only where those hold them exactly, and floats integers where they are
    whole; True and False are 1 and 0; numbers never become texts.
    """
    if element == TensorProto.STRING:
        return _each(values, _text, "" if missing.value is None else missing.value)
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(element))
    if wanted.kind not in "fiub":
        raise CellError(0, f"the input takes {wanted}, which no table holds")
    stands = np.nan if missing.value is None and missing.nan and wanted.kind == "f" else None
    stands = missing.value if stands is None else stands
    if values.dtype.kind in "fiub":
        return _cast(values, wanted, stands)
    return _each(values, lambda value: _exact(value, wanted), stands).astype(wanted)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT, pandas' NA, or a text of blanks."""
    if isinstance(value, str):
        return not value.strip()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating | Decimal) and bool(value != value)


def count_missing(values: Array) -> int:
    """How many values of a column are missing."""
    if values.dtype.kind in "iub":
        return 0
    return int(np.isnan(values).sum()) if values.dtype.kind == "f" else sum(map(is_missing, values))


def mean_present(rows: Array) -> Array:
    """float64: the mean of rows [rows, ...] without values that are missing, NaN where all are."""
    wide = rows.astype(np.float64)
    there = ~np.isnan(wide)
    sums, counts = np.where(there, wide, 0).sum(0), there.sum(0)
    made: Array = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=made, where=counts > 0)
    return made


def number(value: Any) -> int | float:
    """A value as the number it says. Raises ValueError telling what is wrong with it."""
    if isinstance(value, str):
        return _parsed(value.strip())
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating | Decimal):
        return _finite(float(value), value)
    if isinstance(value, _TIMES):
        raise ValueError(
            f"{str(value)!r} is a time; turn it into the number that the model was trained with"
        )
    raise ValueError(f"{_short(value)} is not a number")


def _parsed(text: str) -> int | float:
    if _WHOLE.fullmatch(text):
        try:
            return int(text)
        except ValueError:  # thousands of digits
            raise ValueError(f"{_short(text)} is not a finite number") from None
    if _NUMBER.fullmatch(text):
        return _finite(float(text), text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text.lower().lstrip("+-") in ("inf", "infinity", "nan"):
        raise ValueError(f"{text!r} is not a finite number")
    raise ValueError(f"{_short(text)} is not a number{_advice(text)}")


def _advice(text: str) -> str:
    if _THOUSANDS.fullmatch(text):
        return "; write it without separators of thousands and with a decimal point"
    if _DECIMAL_COMMA.fullmatch(text):
        return "; write it with a decimal point"
    return "; where a value is missing, leave the cell empty" if text.lower() in _BLANKS else ""


def _finite(value: float, given: Any) -> float:
    if not np.isfinite(value):
        raise ValueError(f"{str(given)!r} is not a finite number")
    return value


def _exact(value: Any, wanted: np.dtype[Any]) -> Any:
    """A number as an element of that type. Raises ValueError where it does not fit."""
    if isinstance(value, str) and value.strip().lower() in ("nan", "+nan", "-nan"):
        return None
    found = number(value)
    if wanted.kind == "f":
        return _rounded(found, wanted)
    if found != int(found):
        raise ValueError(f"{found!r} is not whole, and the input takes {wanted}")
    low, high = (0, 1) if wanted.kind == "b" else _limits(wanted)
    if not low <= found <= high:
        raise ValueError(f"{_short(value)} does not fit into {wanted}")
    return int(found)


def _rounded(found: int | float, wanted: np.dtype[Any]) -> float:
    with np.errstate(over="ignore"):
        try:
            made = float(wanted.type(found))
        except OverflowError:
            made = np.inf
    if not np.isfinite(made):
        raise ValueError(f"{_short(found)} does not fit into {wanted}")
    if isinstance(found, int) and int(made) != found:
        raise ValueError(
            f"{found} is not exactly a {wanted}, which would make it {int(made)}; give a float "
            f"({found}.0) to have it rounded"
        )
    return made


def _limits(wanted: np.dtype[Any]) -> tuple[int, int]:
    info = np.iinfo(wanted)
    return int(info.min), int(info.max)


def _cast(values: Array, wanted: np.dtype[Any], stands: Any) -> Array:
    """A column of numbers as another type; NaN is a missing value."""
    gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    kept = np.where(gone, values.dtype.type(0), values)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = kept.astype(wanted)
        if values.dtype.kind == "f" and wanted.kind == "f":
            lost = ~np.isfinite(cast)
        else:
            lost = (cast.astype(kept.dtype) != kept) | ((cast < 0) != (kept < 0))
    if lost.any():
        row = int(np.argmax(lost))
        _each(values[row : row + 1].astype(object), lambda v: _exact(v, wanted), stands, row)
    if gone.any():
        cast[gone] = _stand_in(stands, lambda v: _exact(v, wanted), int(np.argmax(gone)))
    return cast


def _each(values: Array, convert: Callable[[Any], Any], stands: Any, first: int = 0) -> Array:
    """Every value converted by itself: object[rows]."""
    made = np.empty(len(values), object)
    for row, value in enumerate(values):
        found = None
        if not is_missing(value) or (isinstance(value, str) and convert is _text and value):
            try:
                found = convert(value)
            except ValueError as error:
                raise CellError(first + row, str(error)) from None
        made[row] = _stand_in(stands, convert, first + row) if found is None else found
    return made


def _stand_in(stands: Any, convert: Callable[[Any], Any], row: int) -> Any:
    """What stands for a missing value in that row."""
    if stands is None:
        raise CellError(row, "the value is missing")
    if isinstance(stands, float) and np.isnan(stands):
        return stands
    try:
        return convert(stands)
    except ValueError as error:
        raise CellError(row, f"the value is missing, and what stands for it, {error}") from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, _TIMES):
        raise ValueError(f"{str(value)!r} is a time; write it as the texts of the training")
    raise ValueError(
        f"{_short(value)} is no text, and the input takes texts; turn the column into texts as "
        "for the training"
    )


def _short(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else f"{text[:37]}..."


__all__ = [
    "CellError",
    "Missing",
    "count_missing",
    "encode",
    "is_missing",
    "mean_present",
    "number",
]
