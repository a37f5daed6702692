"""Blocks of rows: columns by name, and where each row came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.arrow_columns import ArrowColumns

Array = npt.NDArray[Any]
T = TypeVar("T")
Kind = Literal["table", "arrays", "files", "texts", "inputs"]
FILE, FOLDER, TEXT = "file", "folder", "text"


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: its file, its line or number there from 1, and why."""

    source: str
    line: int
    reason: str


@dataclass(frozen=True)
class RowBlock:
    """Rows that lie together, not yet a model's inputs.

    Attributes:
        source: the file they lie in, or what messages call them.
        columns: [rows, ...] by name: cells, or arrays.
        kind: what the columns are: those of a "table"; "arrays" by input; "files" to be opened,
            or "texts", in one column of that name; "inputs": those of all `parts`.
        lines: the line of every row in a file of lines, else its number, from 1.
        are_lines: whether they are lines.
        arrow: the columns as Arrow has them, where it does.
        bad: rows that lie among these and cannot be read.
        parts: the same rows, by the input that each part is for; "": for those that no other is.
        shared: arrays by input that are one for all rows.
        notes: what was left out in finding them, a sentence each.
    """

    source: str
    columns: Mapping[str, Array]
    kind: Kind = "table"
    lines: tuple[int, ...] = ()
    are_lines: bool = False
    arrow: Mapping[str, Any] = field(default_factory=dict)
    bad: tuple[BadRow, ...] = ()
    parts: Mapping[str, RowBlock] = field(default_factory=dict)
    shared: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows can be read as far as is known."""
        if isinstance(self.columns, ArrowColumns):
            return self.columns.rows
        return len(next(iter(self.columns.values()), ()))

    def holds_arrays(self, name: str) -> bool:
        """Whether a column is one of arrays rather than of cells."""
        if self.kind == "arrays":
            return True
        if isinstance(self.columns, ArrowColumns):
            return self.columns.holds_lists(name)
        return self.columns[name].ndim > 1

    def picked(self, names: Iterable[str]) -> Mapping[str, Array]:
        """Some of the columns, which are converted only where they are asked for."""
        if isinstance(self.columns, ArrowColumns):
            return self.columns.picked(names)
        return {name: self.columns[name] for name in names}

    def place(self, row: int) -> str:
        """What messages call a row, counted from 0."""
        number = self.lines[row] if self.lines else row + 1
        return f"{self.source}: {'line' if self.are_lines else 'row'} {number}"

    def take(self, rows: npt.NDArray[np.intp]) -> RowBlock:
        """Some of the rows, in their order, and none of the bad ones."""
        if len(rows) == self.rows:
            return replace(self, bad=()) if self.bad else self
        arrow = {}
        if self.arrow:
            arrow = {name: column.take(_indices(rows)) for name, column in self.arrow.items()}
        columns: Mapping[str, Array]
        if isinstance(self.columns, ArrowColumns):
            columns = ArrowColumns(arrow, self.source)
        else:
            columns = {name: column[rows] for name, column in self.columns.items()}
        return replace(
            self,
            columns=columns,
            lines=tuple(self.lines[i] for i in rows) if self.lines else (),
            arrow=arrow,
            bad=(),
            parts={name: part.take(rows) for name, part in self.parts.items()},
        )


def _indices(rows: npt.NDArray[np.intp]) -> Any:
    return need_arrow().array(rows)


def cut_blocks(blocks: Iterable[RowBlock], part_rows: int, first: int = 0) -> Iterator[RowBlock]:
    """The same rows, cut where a part of so many rows ends; those before part `first` left out.

    Bad rows are told with the first piece of their block.
    """
    part, left = 0, part_rows
    for block in blocks:
        at = 0
        while at < max(block.rows, 1):
            if not left:
                part, left = part + 1, part_rows
            count = min(block.rows - at, left)
            if part >= first:
                piece = block.take(np.arange(at, at + count))
                yield replace(piece, bad=block.bad if not at else ())
            at, left = at + max(count, 1), left - count


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items each, in their order."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
