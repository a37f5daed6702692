"""Tables: rows of text turned into a model's input, and back into names and values."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from math import floor, log10
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError

Array = npt.NDArray[Any]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Feature:
    """One column: a number (value - mean) / std, or one slot per category."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many slots of the input it fills."""
        return len(self.categories) or 1

    def encode(self, value: Any) -> list[float]:
        """Its slots. Raises ValueError saying what is wrong with the value."""
        text = str(value).strip()
        if self.categories:
            if text not in self.categories:
                raise ValueError(f"{text!r} is not a category{_meant(text, self.categories)}")
            return [float(text == category) for category in self.categories]
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
        if not np.isfinite(number):
            raise ValueError(f"{text!r} is not a finite number")
        return [(number - self.mean) / self.std]

    def decode(self, slots: Array) -> str:
        """The value that its slots show, as text."""
        if self.categories:
            hot = np.flatnonzero(slots > 0.5)
            return self.categories[int(hot[0])] if len(hot) == 1 else "mixed"
        return f"{self._exact(float(slots[0])):.6g}"

    def _exact(self, slot: float) -> float:
        """The number, without what float32 added to it."""
        noise = 2.0**-20 * max(abs(self.mean), abs(self.std))
        return round(slot * self.std + self.mean, -floor(log10(noise))) + 0.0


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

    def encode(self, rows: Sequence[Row], source: str) -> Array:
        """float32[rows, slots]. Raises InputError naming row and column of what does not fit."""
        if not rows:
            raise InputError(f"{source}: has no rows")
        return np.array([self._encoded(n, r, source) for n, r in enumerate(rows, 1)], np.float32)

    def columns(self) -> Iterator[tuple[Feature, slice]]:
        """Every column with its slots."""
        at = 0
        for feature in self.features:
            yield feature, slice(at, at + feature.width)
            at += feature.width

    def describe(self) -> str:
        """What the input takes, in words."""
        return f"a .csv table with the columns {', '.join(f.name for f in self.features)}"

    def _encoded(self, number: int, row: Row, source: str) -> list[float]:
        slots: list[float] = []
        for feature in self.features:
            if feature.name not in row:
                there = ", ".join(map(str, row))
                raise InputError(
                    f"{source}: row {number} has no column {feature.name!r}; it has: {there}"
                )
            try:
                slots += feature.encode(row[feature.name])
            except ValueError as error:
                raise InputError(
                    f"{source}: row {number}, column {feature.name!r}: {error}"
                ) from None
        return slots


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a .csv file with a header, by column name. Raises InputError."""
    lines = read_lines(path)
    header = [name.strip() for name in lines[0]]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path}: the header names column {twice!r} twice")
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(line)} values, the header {len(header)}"
            )
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def read_numbers(path: Path) -> Array:
    """float64[rows, columns] of a .csv file, with a header or without. Raises InputError."""
    lines = read_lines(path)
    body = lines if any(map(_is_float, lines[0])) else lines[1:]  # else a header
    if not body:
        raise InputError(f"{path}: has no rows of numbers")
    for number, line in enumerate(body, 1):
        if len(line) != len(body[0]):
            raise InputError(f"{path}: row {number} has {len(line)} values, row 1 {len(body[0])}")
        for column, text in enumerate(line, 1):
            if not _is_number(text):
                raise InputError(
                    f"{path}: row {number}, column {column}: {text!r} is not a finite number"
                )
    return np.array([[float(text) for text in line] for line in body])


def read_lines(path: Path) -> list[list[str]]:
    """The cells of a .csv file, blank lines left out. Raises InputError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a .csv file in UTF-8 ({error})") from None
    if not lines:
        raise InputError(f"{path}: the table is empty")
    return lines


def _is_number(text: str) -> bool:
    return _is_float(text) and bool(np.isfinite(float(text)))


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _meant(text: str, categories: Sequence[str]) -> str:
    close = get_close_matches(text, categories, n=3, cutoff=0.5)
    some = ", ".join(close or categories[:6])
    return f"; did you mean: {some}?" if close else f"; there are: {some}, ..."
