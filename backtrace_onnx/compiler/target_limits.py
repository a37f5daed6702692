"""What a compiled file is asked for is held against its output as it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtrace_onnx.compiler.target_input import PAIRS
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.targets.entries import Columns, best_entry
from backtrace_onnx.targets.start import StartSettings

_OPEN = np.int64(-1)


def held(
    e: Ops, task: str, y: Value, target: Value, how: StartSettings
) -> tuple[Value, StartSettings]:
    """The target, held against y[samples, ...] as the file runs, and the settings that read it.

    A pair of a box or step and its class becomes the entry of the flattened sample that it means.
    Without this, a target that no entry has would be answered by relevance that is 0 everywhere.
    """
    if task in PAIRS:
        return _held_tokens(e, y, target), how
    if how.pairs and how.classes is not None:
        wrong = e.ReduceMin(target, ints(1), keepdims=0)
        entry = best_entry(e, y, target, how.classes, how.columns or Columns())
        target = e.Where(e.Less(wrong, _OPEN), wrong, entry)
        how = replace(how, pairs=False)
    count = ints(2) if how.binary else e.Shape(e.Reshape(y, ints(0, -1)), start=1)
    return _within(e, target, count), how


def _held_tokens(e: Ops, y: Value, target: Value) -> Value:
    """Targets [targets, positions, 2]; a negative position counts from the end."""
    place, token = e.split(target, [ints(1), ints(1)], 2)
    length = e.Shape(y, start=1, end=2)
    place = e.Where(e.Less(place, np.int64(0)), e.Add(place, length), place)
    place = _within(e, place, length, open_=False)
    return e.Concat(place, _within(e, token, e.Shape(y, start=2)), axis=2)


def _within(e: Ops, index: Value, count: Value, *, open_: bool = True) -> Value:
    """The index itself; a Gather fails where it is not one of `count`.

    -1 stays where it leaves `open_` what is asked for. Where a runtime reads 0 instead of
    failing, nothing is changed.
    """
    asked = e.Where(e.Equal(index, _OPEN), np.int64(0), index) if open_ else index
    asked = e.Where(e.Less(asked, np.int64(0)), count, asked)
    places = e.Range(np.int64(0), e.Squeeze(count, ints(0)), np.int64(1))
    return e.Add(index, e.Mul(e.Gather(places, asked, axis=0), np.int64(0)))
