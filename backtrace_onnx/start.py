"""The start: what is being explained, as relevance at the chosen output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.entries import Columns, best_entry, own_classes
from backtrace_onnx.errors import RequestError

Task = Literal[
    "classification", "regression", "bbox", "segmentation", "generation", "detection", "ctc"
]
Pair = tuple[Value, Value]


@dataclass(frozen=True)
class Options:
    """How a start is made.

    Attributes:
        threshold: of segmentation.
        scaler: total each channel starts from, where its sum is positive; None: as it is.
        single: whether there is one class only.
        classes: axis of [samples, ...] along which an entry's classes lie; None: all that follow.
        columns: which places there are classes; None: all.
        pairs: whether targets are pairs (entry, class), where they do not come as entries.
    """

    threshold: float = 0.5
    scaler: float | None = None
    single: bool = False
    classes: int | None = None
    columns: Columns | None = None
    pairs: bool = False


def start_text(
    task: str, channels: int, options: Options
) -> Callable[[Ops, Value, Value | None], tuple[Value, ...]]:
    """Text `(ops, y, target) -> relevance per channel`, shaped like y[samples, ...].

    `target` is int64[samples] of entry numbers, negative for the largest; for
    generation int64[samples, positions, 2] of (position, token), or [samples, 2].
    Raises RequestError for an unknown task.
    """
    if task not in _TASKS:
        raise RequestError(f"unknown task {task!r}; there are: {', '.join(_TASKS)}")

    def text(e: Ops, y: Value, target: Value | None) -> tuple[Value, ...]:
        if options.pairs and options.classes is not None:
            target = best_entry(e, y, target, options.classes, options.columns or Columns())
        flat = e.Reshape(y, ints(0, -1)) if task != "generation" else y
        pair = _TASKS[task][channels - 1](e, flat, target, options)
        if channels > 1 and options.classes is not None and task in _AGAINST_CLASSES:
            pair = pair[0], _within(e, pair[1], flat, y, target, options)
        made = [_rescaled(e, r, options.scaler) for r in pair[:channels]]
        return tuple(e.Reshape(r, e.Shape(y)) for r in made)

    return text


def _one_hot(e: Ops, y: Value, target: Value | None) -> Value:
    """Boolean [samples, entries]: the target's entry, the largest where it is negative."""
    best = e.ArgMax(y, axis=1, keepdims=1)
    if target is not None:
        asked = e.Reshape(target, ints(-1, 1))
        best = e.Where(e.Less(asked, np.int64(0)), best, asked)
    entries = e.Range(np.int64(0), e.Squeeze(e.Shape(y, start=1), ints(0)), np.int64(1))
    return e.Equal(entries, best)


def _within(
    e: Ops, r: Value, flat: Value, y: Value, target: Value | None, options: Options
) -> Value:
    """Of r[samples, entries] what lies along the class axis through the target."""
    classes = options.classes or 0
    hot = e.Reshape(e.Cast(_one_hot(e, flat, target), to=e.float_type), e.Shape(y))
    own = e.Expand(e.ReduceMax(hot, ints(classes), keepdims=1), e.Shape(y))
    if options.columns is not None:
        own = e.Where(own_classes(e, y, classes, options.columns), own, e.zero())
    return e.Where(e.Greater(e.Reshape(own, e.Shape(r)), e.zero()), r, e.zero())


def _classification(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    chosen = _one_hot(e, y, target)
    positive = e.Where(chosen, y, e.zero())
    if not options.single:
        return positive, e.Where(chosen, e.zero(), y)
    against = e.Sub(e.scalar(1), y)
    return positive, e.Where(e.Less(y, e.scalar(1)), against, e.zero())


def _regression(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    if target is not None:
        everything = e.Less(e.Reshape(target, ints(-1, 1)), np.int64(0))
        y = e.Where(e.Or(everything, _one_hot(e, y, target)), y, e.zero())
    return y, e.Relu(e.Neg(y))


def _regression_apart(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    signed, negative = _regression(e, y, target, options)
    return e.Relu(signed), negative


def _bbox(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    chosen = _one_hot(e, y, target)
    value = e.ReduceSum(e.Where(chosen, y, e.zero()), ints(1), keepdims=1)
    return e.Expand(value, e.Shape(y)), e.Where(chosen, e.zero(), y)


def _bbox_default(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    if options.scaler is not None:
        return (ones := e.Expand(e.scalar(1), e.Shape(y))), ones
    return _classification(e, y, target, Options())


def _segmentation(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    inside = e.Greater(y, e.scalar(options.threshold))
    within = e.LessOrEqual(e.ReduceMax(y, ints(1), keepdims=1), e.scalar(1))
    rest = e.Where(within, e.Sub(e.scalar(1), y), e.zero())
    own = e.scalar(1) if options.scaler is not None else y
    return e.Where(inside, own, e.zero()), e.Where(inside, rest, y)


def _generation(e: Ops, y: Value, target: Value | None, options: Options) -> Pair:
    """1 over the number of positions asked for at each of them and its token."""
    samples, count = e.Shape(y, start=0, end=1), e.Shape(y, start=1, end=2)
    asked = ints(-1, -1).reshape(1, 1, 2) if target is None else target
    asked = e.Reshape(asked, ints(0, -1, 2))
    asked = e.Expand(asked, e.Concat(samples, ints(1, 1), axis=0))
    place, token = (e.Squeeze(part, ints(2)) for part in e.split(asked, [ints(1), ints(1)], 2))
    place = e.Where(e.Less(place, np.int64(0)), e.Add(place, count), place)
    best = e.GatherElements(e.ArgMax(y, axis=2, keepdims=0), place, axis=1)
    token = e.Where(e.Less(token, np.int64(0)), best, token)
    share = e.Expand(e.Reciprocal(e.Cast(e.Shape(place, start=1), to=e.float_type)), e.Shape(place))
    width = e.Shape(y, start=2)
    rows = _scattered(e, place, share, e.Concat(samples, count, axis=0))
    flat = e.Add(e.Mul(place, width), token)
    hits = _scattered(e, flat, share, e.Concat(samples, e.Mul(count, width), axis=0))
    hits = e.Reshape(hits, e.Shape(y))
    rest = e.Mul(e.Relu(y), e.Unsqueeze(rows, ints(2)))
    return hits, e.Where(e.Greater(hits, e.zero()), e.zero(), rest)


def _scattered(e: Ops, index: Value, share: Value, shape: Value) -> Value:
    """Zeros of `shape` with shares added at an index of each row."""
    return e.ScatterElements(e.Expand(e.zero(), shape), index, share, axis=1, reduction="add")


def _rescaled(e: Ops, r: Value, scaler: float | None) -> Value:
    if scaler is None:
        return r
    flat = e.Reshape(r, ints(0, -1))
    total = e.ReduceSum(flat, ints(1), keepdims=1)
    scaled = e.Mul(e.Div(flat, total), e.scalar(scaler))
    return e.Where(e.Greater(total, e.zero()), scaled, flat)


_Text = Callable[[Ops, Value, "Value | None", Options], Pair]
_TASKS: dict[str, tuple[_Text, _Text]] = {  # with one channel, with two
    "classification": (_classification, _classification),
    "regression": (_regression, _regression_apart),
    "bbox": (_bbox_default, _bbox),
    "segmentation": (_segmentation, _segmentation),
    "generation": (_generation, _generation),
    "detection": (_classification, _classification),
    "ctc": (_classification, _classification),
}
_AGAINST_CLASSES = frozenset({"classification", "bbox", "detection", "ctc"})
TASKS = tuple(_TASKS)
