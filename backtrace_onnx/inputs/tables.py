"""Tables: rows of text turned into a model's input, and back into names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor, log10
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RowError
from backtrace_onnx.inputs.arrow_cells import plain_numbers, text_places
from backtrace_onnx.inputs.columns import is_missing, number
from backtrace_onnx.inputs.frames import Table
from backtrace_onnx.messages.similar_names import find_alike

Array = npt.NDArray[Any]
Row = Mapping[str, Any]
_KNOWN = 10_000  # values of a column whose slots are remembered


@dataclass(frozen=True)
class Feature:
    """One column: a number (value - mean) / std, or one slot per category.

    Attributes:
        missing: the value that stands for one that is missing; None: nothing does.
    """

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    missing: Any = None

    @property
    def width(self) -> int:
        """How many entries (slots) of the input the column fills: one, or one for each category."""
        return len(self.categories) or 1

    def encode(self, value: Any, *, nan: bool = False) -> list[float]:
        """Its slots; a missing number is NaN if the model has an answer for `nan`.

        Raises ValueError saying what is wrong with the value.
        """
        gone = is_missing(value) and str(value).strip() not in self.categories
        value = self.missing if gone and self.missing is not None else value
        text = "" if value is None else str(value).strip()
        if self.categories:
            if text not in self.categories:
                raise ValueError(f"{text!r} is not a category{_meant(text, self.categories)}")
            return [float(text == category) for category in self.categories]
        if gone and self.missing is None:
            if nan:
                return [np.nan]
            what = "a finite number" if text and not text[0].isspace() else "a number"
            raise ValueError(
                f"{text!r} is not {what}; what stands for a missing value is the feature's "
                '"missing" in the sidecar'
            )
        return [(float(number(value)) - self.mean) / self.std]

    def decode(self, slots: Array) -> str:
        """The value that its slots show, as text."""
        if self.categories:
            hot = np.flatnonzero(slots > 0.5)
            return self.categories[int(hot[0])] if len(hot) == 1 else "mixed"
        if np.isnan(slots[0]):
            return "missing"
        return f"{self._exact(float(slots[0])):.6g}"

    def values(self, slots: Array) -> Array:
        """[rows]: what slots [rows, width] show: numbers, or categories as texts."""
        if self.categories:
            names = np.array((*self.categories, "mixed"), object)
            hot = slots > 0.5
            found: Array = names[np.where(hot.sum(1) == 1, hot.argmax(1), len(names) - 1)]
            return found
        numbers = slots[:, 0].astype(np.float64) * self.std + self.mean
        rounded: Array = np.round(numbers, self._digits) + 0.0
        return rounded

    def _exact(self, slot: float) -> float:
        """The number, without what float32 added to it."""
        return round(slot * self.std + self.mean, self._digits) + 0.0

    @cached_property
    def read_before(self) -> dict[type, dict[Any, list[float]]]:
        """Slots of values that were read before, by type, for who reads a column in blocks."""
        return {}

    @property
    def _digits(self) -> int:
        """Digits behind the point that float32 leaves as they were."""
        return -floor(log10(2.0**-20 * max(abs(self.mean), abs(self.std))))


@dataclass(frozen=True)
class TableInput:
    """The columns that make up an input [rows, slots], in order."""

    features: tuple[Feature, ...]

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Name of every slot: the column, or column=category."""
        names: list[str] = []
        for f in self.features:
            names += [f"{f.name}={c}" for c in f.categories] or [f.name]
        return tuple(names)

    def encode(self, rows: Sequence[Row], source: str, *, nan: bool = False) -> Array:
        """float32[rows, slots]; missing numbers are NaN if the model has an answer for `nan`.

        Raises InputError naming row and column of what does not fit.
        """
        if not rows:
            raise InputError(f"{source}: has no rows")
        made = [self._encoded(f"{source}: row {n}", row, nan) for n, row in enumerate(rows, 1)]
        return np.array(made, np.float32)

    def encode_table(self, table: Table, *, nan: bool = False) -> Array:
        """The same of a table, whose rows are called as it calls them."""
        columns = [_slots(feature, table, nan) for feature in self.features]
        whole = [column for column in columns if column is not None]
        if len(whole) == len(columns):
            return np.concatenate(whole, 1)
        made = [self._encoded(table.place(i), r, nan) for i, r in enumerate(table.records())]
        return np.array(made, np.float32)  # not reached where a column does not fit

    def columns(self) -> Iterator[tuple[Feature, slice]]:
        """Every column with its slots."""
        at = 0
        for feature in self.features:
            yield feature, slice(at, at + feature.width)
            at += feature.width

    def describe(self) -> str:
        """What the input takes, in words."""
        return f"a .csv table with the columns {', '.join(f.name for f in self.features)}"

    def _encoded(self, place: str, row: Row, nan: bool) -> list[float]:
        slots: list[float] = []
        for feature in self.features:
            if feature.name not in row:
                there, close = ", ".join(map(str, row)), find_alike(feature.name, list(row))
                meant = f" (did you mean: {', '.join(close)}?)" if close else ""
                raise InputError(f"{place} has no column {feature.name!r}{meant}; it has: {there}")
            try:
                slots += feature.encode(row[feature.name], nan=nan)
            except ValueError as error:
                raise RowError(f"{place}, column {feature.name!r}: {error}") from None
        return slots


@dataclass(frozen=True)
class ColumnInput:
    """An input that is one column of a table, [rows, 1] or [rows].

    Attributes:
        column: the column's name in tables, where it is not the input's.
        missing: the number or text that stands for a missing one; None: nothing does.
    """

    column: str | None = None
    missing: Any = None

    def describe(self) -> str:
        """What the input takes, in words."""
        called = "" if self.column is None else f" {self.column}"
        return f"a column{called} of a .csv table"


def _slots(feature: Feature, table: Table, nan: bool) -> Array | None:
    """float32[rows, slots] of one column; None where it is not there, or a value does not fit.

    Equal values of one type are read once.
    """
    if feature.name not in table.columns:
        return None
    if feature.name in table.arrow:
        found = _arrow_slots(feature, table.arrow[feature.name])
        if found is not None:
            return found
    values = table.columns[feature.name].tolist()
    kinds = list(map(type, values))
    keys = values if len(set(kinds)) == 1 else list(zip(kinds, values, strict=True))
    try:
        known = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        if keys is values and kinds[:1] in ([str], [int], [float]) and not nan:
            slots = [_read(feature, kinds[0], value) for value in known]
        else:
            slots = [feature.encode(k if keys is values else k[1], nan=nan) for k in known]
        places = np.fromiter(map(known.__getitem__, keys), np.intp, len(keys))
    except (ValueError, TypeError):
        return None
    with np.errstate(over="ignore"):  # infinity, which the model's check of its inputs names
        return np.array(slots, np.float32).reshape(len(slots), feature.width)[places]


def _arrow_slots(feature: Feature, column: Any) -> Array | None:
    """The same of a column that Arrow holds; None where cells must be looked at."""
    if not feature.categories:
        numbers = plain_numbers(column)
        if numbers is None:
            return None
        with np.errstate(over="ignore"):
            slots = ((numbers - feature.mean) / feature.std).astype(np.float32)
        return slots[:, None] if np.isfinite(slots).all() else None
    found = text_places(column)
    if found is None:
        return None
    try:
        known = [_read(feature, str, text) for text in found[0]]
    except ValueError:
        return None
    return np.array(known, np.float32).reshape(len(known), feature.width)[found[1]]


def _read(feature: Feature, kind: type, value: Any) -> list[float]:
    """The slots of a value, read once as long as there are not very many different ones."""
    known = feature.read_before.setdefault(kind, {})
    slots = known.get(value)
    if slots is None:
        slots = feature.encode(value)
        if len(known) < _KNOWN:
            known[value] = slots
    return slots


def _meant(text: str, categories: Sequence[str]) -> str:
    close = find_alike(text, categories, cutoff=0.5)
    some = ", ".join(close or categories[:6])
    return f"; did you mean: {some}?" if close else f"; there are: {some}, ..."
