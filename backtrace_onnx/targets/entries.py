"""Outputs whose entries - boxes, cells, steps - have classes of their own: which are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.errors import RequestError
from backtrace_onnx.ops.vocabulary import Ops, Value, ints

Array = npt.NDArray[Any]
TASKS = ("detection", "ctc")
CALLED = {"detection": "box", "ctc": "step"}
_LEAST = -3.0e38


@dataclass(frozen=True)
class Columns:
    """What lies along the class axis of an entry.

    Attributes:
        first, last: the first class, and the one after the last; None: to the end.
        objectness: column whose value times a class's is the score of an entry.
        background: class that is never the best one: no object, or a blank; counted from `first`,
            a negative one from the end.
        label: column that holds the number of an entry's class, beside the one column of its score.
    """

    first: int = 0
    last: int | None = None
    objectness: int | None = None
    background: int | None = None
    label: int | None = None

    def within(self, size: int) -> tuple[int, int]:
        """First class column and the one after the last, of so many. Raises RequestError."""
        last = size if self.last is None else self.last
        single = self.label is None or last - self.first == 1
        others = max(self.objectness or 0, self.label or 0)
        if not 0 <= self.first < last <= size or others >= size or not single:
            raise RequestError(
                f"an entry of the output has {size} columns; classes cannot be those from "
                f"{self.first} to {last - 1}"
            )
        return self.first, last

    def apart(self, size: int) -> int | None:
        """The column of the background, of so many."""
        if self.background is None:
            return None
        first, last = self.within(size)
        column = (first if self.background >= 0 else last) + self.background
        if not first <= column < last:
            raise RequestError(f"class {self.background} is none of the {last - first}")
        return column

    def numbers(self, grid: Array) -> npt.NDArray[np.int64] | None:
        """int64[entries], the class of every entry of [entries, columns], where a column has it."""
        return None if self.label is None else np.rint(grid[:, self.label]).astype(np.int64)

    def scores(self, grid: Array) -> Array:
        """[entries, classes] of [entries, columns]; -inf for the background."""
        first, last = self.within(grid.shape[1])
        scores = np.array(grid[:, first:last], np.float64)
        if self.objectness is not None:
            scores *= grid[:, self.objectness, None]
        apart = self.apart(grid.shape[1])
        if apart is not None and last - first > 1:
            scores[:, apart - first] = -np.inf
        return scores


def as_grid(sample: Array, class_axis: int) -> Array:
    """[entries, columns] of a sample whose classes lie along an axis."""
    moved = np.moveaxis(sample, class_axis, -1)
    return moved.reshape(-1, moved.shape[-1])


def flat_entry(shape: tuple[int, ...], class_axis: int, entry: int, column: int) -> int:
    """The place in the flattened sample of a column of an entry."""
    after = prod(shape[class_axis + 1 :])
    before, behind = divmod(entry, after)
    return (before * shape[class_axis] + column) * after + behind


def entry_of(shape: tuple[int, ...], class_axis: int, flat: int) -> tuple[int, int]:
    """Entry and column of a place in the flattened sample."""
    after = prod(shape[class_axis + 1 :])
    rest, behind = divmod(flat, after)
    before, column = divmod(rest, shape[class_axis])
    return before * after + behind, column


def find_pairs(target: Any, y: Array, task: str, class_axis: int, columns: Columns) -> Array:
    """int64[samples, 2]: entry and class of every sample of y[samples, ...].

    Args:
        target: None, an entry, (entry, class), or one such pair per sample; -1 for the best.
        class_axis: of y. columns: which of them are classes.

    Raises:
        RequestError: it does not fit the output.
    """
    asked = _asked(target, len(y), CALLED[task])
    grids = [as_grid(sample, class_axis - 1) for sample in y]
    return np.array([_best(g, *p, columns) for g, p in zip(grids, asked, strict=True)], np.int64)


def flat_targets(pairs: Array, y: Array, class_axis: int, columns: Columns) -> Array:
    """int64[samples]: the entries of the flattened samples that pairs mean."""
    shape, first = y.shape[1:], columns.first
    places = [(int(e), first if columns.label is not None else first + int(c)) for e, c in pairs]
    found = (flat_entry(shape, class_axis - 1, entry, column) for entry, column in places)
    return np.array(list(found), np.int64)


def _asked(target: Any, samples: int, called: str) -> list[tuple[int, int]]:
    what = f"target is a {called}, or ({called}, class), or one such pair per sample"
    try:
        asked = np.asarray((-1, -1) if target is None else target)
    except ValueError:
        raise RequestError(f"{what}; got {target!r}") from None
    if asked.dtype.kind not in "iu" or asked.ndim > 2:
        raise RequestError(f"{what}; got {target!r}")
    if asked.ndim == 0:
        asked = np.array([int(asked), -1])
    pairs = asked[None] if asked.ndim == 1 else asked
    if pairs.shape[1] != 2 or len(pairs) not in (1, samples):
        raise RequestError(f"{what} ({samples}); got {target!r}")
    return [(int(e), int(c)) for e, c in np.broadcast_to(pairs, (samples, 2))]


def _best(grid: Array, entry: int, label: int, columns: Columns) -> tuple[int, int]:
    """The pair itself, or the best one where it leaves an entry or a class open."""
    scores = columns.scores(grid)
    numbers = columns.numbers(grid)
    if numbers is not None:
        return _numbered(scores[:, 0], numbers, entry, label)
    if entry >= len(grid) or label >= scores.shape[1] or min(entry, label) < -1:
        raise RequestError(
            f"target ({entry}, {label}) is out of range: the output has {len(grid)} entries of "
            f"{scores.shape[1]} classes"
        )
    if entry >= 0 and label >= 0:
        return entry, label
    open_ = np.full_like(scores, -np.inf)
    at = (slice(None) if entry < 0 else entry, slice(None) if label < 0 else label)
    open_[at] = scores[at]
    best = int(open_.argmax())
    return best // scores.shape[1], best % scores.shape[1]


def _numbered(
    scores: Array, numbers: npt.NDArray[np.int64], entry: int, label: int
) -> tuple[int, int]:
    """The best entry of this number, among those asked for, and its class."""
    if entry >= len(numbers) or min(entry, label) < -1:
        raise RequestError(
            f"target ({entry}, {label}) is out of range: the output has {len(numbers)} entries"
        )
    asked = np.full(len(numbers), entry < 0)
    asked[max(entry, 0)] = True
    fits = asked & ((numbers == label) | (label < 0))
    if not fits.any():
        own = f"entry {entry} is" if entry >= 0 else "no entry is"
        is_ = f"of class {numbers[entry]}, not {label}" if entry >= 0 else f"of class {label}"
        raise RequestError(f"target ({entry}, {label}): {own} {is_}")
    best = int(np.where(fits, scores, -np.inf).argmax())
    return best, int(numbers[best])


def own_classes(e: Ops, y: Value, class_axis: int, columns: Columns) -> Value:
    """Boolean, broadcast against y[samples, ...]: whether a column holds a class."""
    index = _column_index(e, y, class_axis)
    inside = e.GreaterOrEqual(index, np.int64(columns.first))
    return inside if columns.last is None else e.And(inside, e.Less(index, np.int64(columns.last)))


def best_entry(e: Ops, y: Value, pairs: Value, class_axis: int, columns: Columns) -> Value:
    """int64[samples]: what pairs [samples or 1, 2] of (entry, class) mean in y[samples, ...].

    -1 leaves an entry or a class open for the best one. A pair that is out of range is the entry
    after the last, which nothing equals.
    """
    index, entries = _column_index(e, y, class_axis), _entry_index(e, y, class_axis)
    rank = e.Shape(e.Shape(y))
    ones = e.Expand(np.int64(1), e.Sub(rank, ints(1)))
    each = e.Concat(ints(-1), ones, axis=0)
    entry, label = (e.Reshape(p, each) for p in e.split(pairs, [ints(1), ints(1)], 1))
    inside = own_classes(e, y, class_axis, columns)
    named = e.Equal(e.Sub(index, np.int64(columns.first)), label)
    background = _background(e, y, index, class_axis, columns)
    free = inside if background is None else e.And(inside, e.Not(background))
    if columns.label is not None:
        number = e.Gather(y, np.array([columns.label], np.int64), axis=class_axis)
        named = e.Equal(e.Cast(e.Round(number), to=TensorProto.INT64), label)
    by_class = e.Or(e.And(e.Less(label, np.int64(0)), free), e.And(inside, named))
    by_entry = e.Or(e.Less(entry, np.int64(0)), e.Equal(entries, entry))
    asked = e.Expand(e.And(by_class, by_entry), e.Shape(y))
    score = y
    if columns.objectness is not None:
        at = np.array([columns.objectness], np.int64)
        score = e.Mul(y, e.Gather(y, at, axis=class_axis))
    flat = e.Reshape(e.Where(asked, score, e.scalar(_LEAST)), ints(0, -1))
    best = e.ArgMax(flat, axis=1, keepdims=0)
    some = e.Reshape(e.Where(asked, e.scalar(1), e.zero()), ints(0, -1))
    none = e.LessOrEqual(e.ReduceMax(some, ints(1), keepdims=0), e.zero())
    return e.Where(none, e.Shape(flat, start=1), best)


def _column_index(e: Ops, y: Value, class_axis: int) -> Value:
    """int64 [columns, 1, ...], broadcast along the axes behind the class axis."""
    size = e.Shape(y, start=class_axis, end=class_axis + 1)
    index = e.Range(np.int64(0), e.Squeeze(size, ints(0)), np.int64(1))
    behind = e.Shape(e.Shape(y, start=class_axis + 1))
    shape = e.Concat(size, e.Expand(np.int64(1), behind), axis=0)
    return e.Reshape(index, shape)


def _entry_index(e: Ops, y: Value, class_axis: int) -> Value:
    """int64, the number of the entry at every place of a sample, 1 along the class axis."""
    before, behind = e.Shape(y, start=1, end=class_axis), e.Shape(y, start=class_axis + 1)
    shape = e.Concat(before, ints(1), behind, axis=0)
    count = e.ReduceProd(shape, ints(0), keepdims=0)
    return e.Reshape(e.Range(np.int64(0), count, np.int64(1)), shape)


def _background(e: Ops, y: Value, index: Value, class_axis: int, columns: Columns) -> Value | None:
    """Boolean: whether a column is the background's; None where there is none."""
    if columns.background is None:
        return None
    if columns.background >= 0:
        return e.Equal(index, np.int64(columns.first + columns.background))
    end = e.Shape(y, start=class_axis, end=class_axis + 1)
    last = end if columns.last is None else ints(columns.last)
    return e.Equal(index, e.Add(last, np.int64(columns.background)))
