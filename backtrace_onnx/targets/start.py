"""The start: what is being explained, as relevance at the chosen output.

A start is what speaks for the answer. Signed modes start with the scores' own values; the others
know no sign, so that what is negative starts with its magnitude: in a mode with two channels in the
opposite one, because there relevance goes to what made it negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.targets.entries import Columns, best_entry
from backtrace_onnx.targets.scores import Scores, StartSettings, below, read_scores, sizes_of
from backtrace_onnx.targets.two_classes import boundary

Task = Literal[
    "classification", "regression", "bbox", "segmentation", "generation", "detection", "ctc"
]
Pair = tuple[Value, Value]


def start_text(
    task: str, channels: int, options: StartSettings
) -> Callable[[Ops, Value, Value | None, Value | None, Value | None], tuple[Value, ...]]:
    """Text `(ops, y, target, scores, sides) -> relevance per channel`, shaped like y[samples, ...].

    `target` is int64[samples] of entry numbers, negative for the largest; for
    generation int64[samples, positions, 2] of (position, token), or [samples, 2]. `scores` and
    `sides` are those of a head, None where y holds the scores, or the sides are not known.
    Raises RequestError for an unknown task.
    """
    if task not in _TASKS:
        raise RequestError(f"unknown task {task!r}; there are: {', '.join(_TASKS)}")

    def text(
        e: Ops, y: Value, target: Value | None, scores: Value | None, sides: Value | None
    ) -> tuple[Value, ...]:
        target = _entry(e, y, target, options)
        laid = [x if x is None or task == "generation" else _flat(e, x) for x in (y, scores, sides)]
        read = replace(read_scores(e, laid[0], laid[1], laid[2], options), shape=e.Shape(y))
        pair = _TASKS[task][channels - 1](e, read, target, options)
        made = [_rescaled(e, r, options) for r in _proper(e, pair, channels, options)]
        return tuple(e.Reshape(r, e.Shape(y)) for r in made)

    return text


def _entry(e: Ops, y: Value, target: Value | None, options: StartSettings) -> Value | None:
    """The target as an entry of the flattened sample, where it is a pair."""
    if not options.pairs or options.classes is None:
        return target
    return best_entry(e, y, target, options.classes, options.columns or Columns())


def raising(
    task: str, options: StartSettings
) -> Callable[[Ops, Value, Value | None, Value | None], Value]:
    """Text `(ops, y, target, scores) -> ` what is added to the scores of each sample: [samples].

    Enough for none to be negative; 0 where the target's is positive already.
    """

    def text(e: Ops, y: Value, target: Value | None, scores: Value | None) -> Value:
        values = _flat(e, y if scores is None else scores)
        if task == "generation":
            hits, _ = _generation(e, Scores(y, y, y), target, StartSettings())
            chosen = e.Greater(_flat(e, hits), e.zero())
        else:
            chosen = _one_hot(e, _flat(e, y), _entry(e, y, target, options))
        own = e.ReduceSum(e.Where(chosen, values, e.zero()), ints(1), keepdims=0)
        most = e.ReduceMax(e.Abs(values), ints(1), keepdims=0)
        enough = e.Add(e.Mul(most, e.scalar(2)), e.scalar(1))
        return e.Where(e.LessOrEqual(own, e.zero()), enough, e.zero())

    return text


def _flat(e: Ops, x: Value) -> Value:
    return e.Reshape(x, ints(0, -1))


def _proper(e: Ops, pair: Pair, channels: int, options: StartSettings) -> tuple[Value, ...]:
    """The channels of a mode; without signs none of them is negative."""
    good, bad = pair
    if channels > 1:
        return e.Add(e.Relu(good), e.Relu(e.Neg(bad))), e.Add(e.Relu(bad), e.Relu(e.Neg(good)))
    return (good if options.signed else e.Abs(good),)


def _one_hot(e: Ops, y: Value, target: Value | None) -> Value:
    """Boolean [samples, entries]: the target's entry, the largest where it is negative."""
    best = e.ArgMax(y, axis=1, keepdims=1)
    if target is not None:
        asked = e.Reshape(target, ints(-1, 1))
        best = e.Where(e.Less(asked, np.int64(0)), best, asked)
    entries = e.Range(np.int64(0), e.Squeeze(e.Shape(y, start=1), ints(0)), np.int64(1))
    return e.Equal(entries, best)


def _classification(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    chosen = _one_hot(e, read.y, target)
    return e.Where(chosen, read.start, e.zero()), e.Where(chosen, e.zero(), read.start)


def _one_of_two(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    """The class asked for, 0 or 1, of which y is the second one's probability or score."""
    second = e.GreaterOrEqual(read.y, e.scalar(boundary(options.binary)))
    if target is not None:
        asked = e.Reshape(target, ints(-1, 1))
        open_ = e.Less(asked, np.int64(0))
        second = e.Or(e.And(open_, second), e.Greater(asked, np.int64(0)))
    score = options.signed or options.binary == "decision"
    rest = e.Neg(read.start) if score else e.Sub(e.scalar(1), read.start)
    return e.Where(second, read.start, rest), e.Where(second, rest, read.start)


def _classes(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    make = _one_of_two if options.binary else _classification
    return make(e, read, target, options)


def _classes_apart(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    """Two channels: for the target, and for what competes with it."""
    if options.binary:
        return _swapped(e, _one_of_two(e, read, target, options), read.contrary(e))
    if options.single:
        chosen = _one_hot(e, read.y, target)
        rest = e.Where(chosen, e.Relu(e.Sub(e.scalar(1), read.start)), e.zero())
        return e.Where(chosen, read.start, e.zero()), rest
    chosen = _one_hot(e, read.y, target)
    sizes = sizes_of(e, read, chosen, read.rivals(e, chosen, options))
    pair = e.Where(chosen, sizes, e.zero()), e.Where(chosen, e.zero(), sizes)
    return _swapped(e, pair, read.turned(e, options))


def _swapped(e: Ops, pair: Pair, where: Value) -> Pair:
    good, bad = pair
    return e.Where(where, bad, good), e.Where(where, good, bad)


def _regression(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    y = read.start
    if target is not None:
        everything = e.Less(e.Reshape(target, ints(-1, 1)), np.int64(0))
        y = e.Where(e.Or(everything, _one_hot(e, read.y, target)), y, e.zero())
    return y, e.zero()


def _regression_apart(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    """Two channels: what is a function of scores starts where these do."""
    y, rest = _regression(e, read, target, options)
    if read.values is read.y:
        return y, rest
    return _swapped(e, (y, rest), read.turned(e, options))


def _bbox(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    chosen = _one_hot(e, read.y, target)
    y = read.start
    value = e.ReduceSum(e.Where(chosen, y, e.zero()), ints(1), keepdims=1)
    others = e.And(read.rivals(e, chosen, options), e.Not(chosen))
    return e.Expand(value, e.Shape(y)), e.Where(others, y, e.zero())


def _bbox_default(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    if options.scaler is None:
        return _classification(e, read, target, options)
    if options.signed:
        return read.start, e.zero()
    return e.Expand(e.scalar(1), e.Shape(read.y)), e.zero()


def _segmentation(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    y = e.Exp(read.y) if options.logarithmic else read.y
    inside = e.Greater(y, e.scalar(options.threshold))
    within = e.LessOrEqual(e.ReduceMax(y, ints(1), keepdims=1), e.scalar(1))
    rest = e.Where(within, e.Sub(e.scalar(1), y), e.zero())
    plain = options.scaler is not None and not options.signed
    own = e.scalar(1) if plain else read.start
    return e.Where(inside, own, e.zero()), e.Where(inside, rest, y)


def _generation(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    """1 over the number of positions asked for at each of them and its token; in a signed mode
    times its score."""
    y = read.y
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
    if options.signed:
        return e.Mul(hits, read.start), e.zero()
    rest = e.Mul(e.Relu(read.start), e.Unsqueeze(rows, ints(2)))
    return hits, e.Where(e.Greater(hits, e.zero()), e.zero(), rest)


def _generation_apart(e: Ops, read: Scores, target: Value | None, options: StartSettings) -> Pair:
    """Two channels: a token whose score is negative starts the opposite one."""
    hits, rest = _generation(e, read, target, options)
    if options.constant:
        return hits, rest
    negative = e.And(e.Greater(hits, e.zero()), below(e, read.values))
    return e.Where(negative, e.zero(), hits), e.Where(negative, hits, rest)


def _scattered(e: Ops, index: Value, share: Value, shape: Value) -> Value:
    """Zeros of `shape` with shares added at an index of each row."""
    return e.ScatterElements(e.Expand(e.zero(), shape), index, share, axis=1, reduction="add")


def _rescaled(e: Ops, r: Value, options: StartSettings) -> Value:
    """The total of every sample is the scaler, where it is positive or has a sign of its own."""
    if options.scaler is None:
        return r
    flat = _flat(e, r)
    total = e.ReduceSum(flat, ints(1), keepdims=1)
    total = e.Abs(total) if options.signed else total
    scaled = e.Mul(e.Div(flat, total), e.scalar(options.scaler))
    return e.Where(e.Greater(total, e.zero()), scaled, flat)


_Text = Callable[[Ops, Scores, "Value | None", StartSettings], Pair]
_TASKS: dict[str, tuple[_Text, _Text]] = {  # with one channel, with two
    "classification": (_classes, _classes_apart),
    "regression": (_regression, _regression_apart),
    "bbox": (_bbox_default, _bbox),
    "segmentation": (_segmentation, _segmentation),
    "generation": (_generation, _generation_apart),
    "detection": (_classes, _classes_apart),
    "ctc": (_classes, _classes_apart),
}
TASKS = tuple(_TASKS)


__all__ = ["TASKS", "StartSettings", "Task", "raising", "start_text"]
