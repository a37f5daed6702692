"""Files of comma-separated values, or of values separated by semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.columns import CellError, Missing, encode
from backtrace_onnx.inputs.frames import Table
from backtrace_onnx.messages.listing import listed

Array = npt.NDArray[Any]
_DOUBLE = 11  # TensorProto.DOUBLE
_SEPARATORS = ",;\t"
_SAID = re.compile(r'\s*"?sep=([,;|\t])"?[,;\t ]*(?:\r?\n|$)', re.IGNORECASE)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a .csv file with a header, by column name. Raises InputError."""
    return [] if len(read_lines(path)) == 1 else read_table(path).records()


def read_table(path: Path, lines: Sequence[Sequence[str]] | None = None) -> Table:
    """The columns of a .csv file with a header, texts all of them. Raises InputError."""
    lines = read_lines(path) if lines is None else lines
    header = [name.strip() for name in lines[0]]
    notes = note_blanks(str(path), lines[0])
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path}: the header names column {twice!r} twice")
    body = lines[1:]
    for number, line in enumerate(body, 1):
        if len(line) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(line)} values, the header {len(header)}"
            )
    if not body:
        raise InputError(f"{path}: has no rows")
    cells = np.array(body, object).reshape(len(body), len(header))
    return Table(str(path), {name: cells[:, i] for i, name in enumerate(header)}, notes=notes)


def note_blanks(source: str, names: Sequence[str]) -> tuple[str, ...]:
    """That names of columns are read without the blanks around them, where some have these."""
    odd = [repr(name) for name in names if name != name.strip()]
    return (f"{source}: columns are called without the blanks of {listed(odd)}",) if odd else ()


def read_numbers(path: Path, *, missing: bool = False) -> Array:
    """float64[rows, columns] of a .csv file, with a header or without.

    Empty cells are NaN where values may be `missing`. Raises InputError.
    """
    lines = read_lines(path)
    body = lines if not has_header(lines) else lines[1:]
    if not body:
        raise InputError(f"{path}: has no rows of numbers")
    for number, line in enumerate(body, 1):
        if len(line) != len(body[0]):
            raise InputError(f"{path}: row {number} has {len(line)} values, row 1 {len(body[0])}")
    cells = np.array(body, object).reshape(len(body), len(body[0]))
    return np.stack([_numbers(path, i, column, missing) for i, column in enumerate(cells.T, 1)], 1)


def read_lines(path: Path) -> list[list[str]]:
    """The cells of a .csv file, blank lines left out. Raises InputError.

    They are separated by what the first line holds most of, commas, semicolons or tabs; or by
    what a line `sep=;` before it says, as Excel writes it.
    """
    lines = [cells for _, cells in stream_lines(path)]
    if not lines:
        raise InputError(f"{path}: the table is empty")
    return lines


class Opens(Protocol):
    """A path, or what opens a file as a path does."""

    @property
    def open(self) -> Callable[..., Any]:
        """Open it, as `Path.open` does."""


@dataclass(frozen=True)
class Place:
    """A line of a file: `offset` bytes and `line` lines behind its start, and what separates."""

    offset: int
    line: int
    separator: str


def stream_lines(
    path: Opens, errors: str = "strict", start: Place | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The same, read as they are asked for, each with the number of its line, from 1.

    `errors`: what becomes of bytes that are no UTF-8, as `open` takes it. `start`: the line to
    begin with, if it is not the first. Raises InputError where the file cannot be read.
    """
    waiting: list[tuple[int, list[str]]] = []  # perhaps what spreadsheets leave behind the last row
    try:
        with _opened(path, errors, start) as file:
            for number, cells in _cells(file, start):
                if (cells and cells[0].strip()) or any(cell.strip() for cell in cells):
                    yield from waiting
                    yield number, cells
                    waiting = []
                elif len(cells) > 1:
                    waiting.append((number, cells))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a .csv file in UTF-8 ({error})") from None


def has_header(lines: Sequence[Sequence[str]]) -> bool:
    """Whether the first line holds no number at all."""
    return not any(_is_float(cell) for cell in lines[0])


def has_numbers_only(cells: Sequence[str]) -> bool:
    """Whether a line is one of numbers, and no header."""
    return all(map(_is_float, cells))


def separator_of(line: str) -> str:
    """What separates the cells of a first line; quoted parts do not count."""
    bare = "".join(line.split('"')[::2])
    return max(_SEPARATORS, key=bare.count)


def says_separator(line: str) -> bool:
    """Whether a first line only tells what separates cells, as Excel writes it."""
    return _SAID.fullmatch(line) is not None


def _opened(path: Opens, errors: str, start: Place | None) -> IO[str]:
    """The text of a file from its start, or from a later line on."""
    if start is None:
        opened: IO[str] = path.open(newline="", encoding="utf-8-sig", errors=errors)
        return opened
    data = path.open("rb")
    data.seek(start.offset)
    return io.TextIOWrapper(data, encoding="utf-8", errors=errors, newline="")


def _cells(file: Iterable[str], start: Place | None) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line, and the number of the first line that they lie on."""
    if start is not None:
        yield from _numbered(file, start.separator, start.line)
        return
    lines = iter(file)
    first, before = "", 0
    for first in lines:
        before += 1
        if first.strip():
            break
    said = _SAID.fullmatch(first)
    if said is None:
        lines, before = chain([first], lines), max(before - 1, 0)
    yield from _numbered(lines, said[1] if said else separator_of(first), before)


def _numbered(lines: Iterable[str], separator: str, before: int) -> Iterator[tuple[int, list[str]]]:
    """The same, behind the lines that lie before."""
    reader = csv.reader(lines, delimiter=separator)
    ended = 0
    for cells in reader:
        yield before + ended + 1, cells
        ended = reader.line_num


def _numbers(path: Path, column: int, cells: Array, missing: bool) -> Array:
    try:
        return encode(cells, _DOUBLE, Missing(nan=missing))
    except CellError as error:
        what, text = str(error), cells[error.row]
        if "not a finite number" not in what:
            what = f"{text!r} is not a finite number" + what.partition("is not a number")[2]
        raise InputError(f"{path}: row {error.row + 1}, column {column}: {what}") from None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
