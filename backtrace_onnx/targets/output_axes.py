"""What the axes of an explained output are: where its samples lie, and where their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import SampleAxis
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.entries import Columns, entry_of

Array = npt.NDArray[Any]
SampleChoice = int | Literal["none"] | None
"""A sample axis as a caller gives it; "none": the output is one sample; None: found."""


@dataclass(frozen=True)
class OutputAxes:
    """The sample axis and the class axis of one output; what remains are its entries.

    Entries are boxes, positions, pixels or steps: each has its own classes, and only these speak
    against one another. Rows below are [samples, ...]: the output with the sample axis moved to
    the front, or with one of size 1 put there.

    Attributes:
        samples: axis along which the samples lie; None: the output is one sample.
        classes: axis along which an entry's classes lie; None: all of a sample are one entry's. The
            axis after the last one, which is not there, says that every entry is one score: in rows
            it has size 1.
        rank: number of axes of the output; None where it is not known.
        columns: which places of the class axis are classes, where entries hold more than these.
        notes: what was assumed to say so.
    """

    samples: int | None = 0
    classes: int | None = None
    rank: int | None = None
    notes: tuple[Note, ...] = ()
    columns: Columns | None = None

    def count(self, shape: Sequence[int]) -> int:
        """Number of samples in an output of that shape."""
        return 1 if self.samples is None else int(shape[self.samples])

    def known(self, output: str) -> dict[str, SampleAxis]:
        """The sample axis of the output, by its name."""
        return {} if self.samples is None else {output: SampleAxis(self.samples, alone=True)}

    def rows(self, y: Array) -> Array:
        """An output as [samples, ...], with two axes at least."""
        moved = y[None] if self.samples is None else np.moveaxis(y, self.samples, 0)
        moved = moved[..., None] if self.are_single else moved
        return moved if moved.ndim > 1 else moved.reshape(len(moved), 1)

    def back(self, rows: Array, shape: Sequence[int]) -> Array:
        """What `rows` made, in the output's own shape."""
        if not self.samples:
            return rows.reshape(tuple(shape))
        rows = rows[..., 0] if self.are_single else rows
        return np.ascontiguousarray(np.moveaxis(rows, 0, self.samples))

    def of_sample(self, y: Array, sample: int) -> Array:
        """One sample's part of an output, a view without the sample axis."""
        own = y if self.samples is None else y.take(sample, self.samples)
        return own[..., None] if self.are_single else own

    def index(self, entry: Sequence[int], sample: int) -> tuple[int, ...]:
        """The index in the whole output of an index within one sample."""
        own = tuple(int(i) for i in entry)[: (self.rank or len(entry)) if self.are_single else None]
        at = self.samples
        return own if at is None else (*own[:at], sample, *own[at:])

    @property
    def are_single(self) -> bool:
        """Whether every entry is one score, with no axis of classes beside it."""
        return self.classes is not None and self.classes == self.rank

    @property
    def class_axis(self) -> int | None:
        """The class axis in rows; None where all that follow the samples are classes."""
        at, samples = self.classes, self.samples
        rank = (self.rank or 0) + self.are_single
        if at is None or rank - (samples is not None) < 2:
            return None
        return at + 1 if samples is None or at < samples else at

    def pairs(self, target: Array, shape: Sequence[int]) -> Array:
        """int64[samples, 2], entry and class, of targets in rows of that shape.

        -1 is the class of an entry that has but one, whose number is in a column.
        """
        own, axis = tuple(int(n) for n in shape[1:]), (self.class_axis or 1) - 1
        first = self.columns.first if self.columns else 0
        found = [entry_of(own, axis, int(flat)) for flat in target]
        if self.columns is not None and self.columns.label is not None:
            return np.array([(entry, -1) for entry, _ in found], np.int64)
        return np.array([(entry, column - first) for entry, column in found], np.int64)

    def alone(self, shape: Sequence[int | str | None]) -> bool:
        """Whether a sample has one entry in all, as far as the shape tells."""
        return all(n == 1 for axis, n in enumerate(shape) if axis != self.samples)

    def single(self, shape: Sequence[int | str | None]) -> bool:
        """Whether every entry has one class, as far as the shape tells."""
        if self.columns is not None and self.class_axis is not None:
            size = (*shape, 1)[self.classes or 0]
            last = self.columns.last or (size if isinstance(size, int) else None)
            return last is not None and last - self.columns.first == 1
        if self.class_axis is not None:
            return (*shape, 1)[self.classes or 0] == 1
        return self.alone(shape)


__all__ = ["OutputAxes", "SampleChoice"]
