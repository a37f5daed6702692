"""Operators that look for what must not be: numbers that are none, and repetitions."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.phrases import INT32, INT64
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints


@microsoft("IsAllFinite")
def is_all_finite(e: Ops, op: Op, *inputs: Value) -> Value:
    """Whether no element of any input is infinite or not a number."""
    tests = [e.IsInf] * (not op.attribute("isnan_only", 0))
    tests += [e.IsNaN] * (not op.attribute("isinf_only", 0))
    found = [e.ReduceMax(e.Cast(t(x), to=INT32), keepdims=0) for x in inputs for t in tests]
    return e.Equal(e.Max(*found), np.int32(0))


@microsoft("NGramRepeatBlock")
def ngram_repeat_block(e: Ops, op: Op, ids: Value, scores: Value) -> Value:
    """Scores, -inf for tokens that would repeat a run of `ngram_size` tokens of the text."""
    size, one = op.attribute("ngram_size"), ints(1)
    ids = e.Cast(ids, to=INT64)
    starts = e.Max(e.Sub(e.Shape(ids, start=1), ints(size - 1)), ints(0))
    runs = [e.Slice(ids, ints(k), e.Add(starts, ints(k)), one) for k in range(size)]
    repeated = e.GreaterOrEqual(runs[-1], np.int64(0))
    for k, run in enumerate(runs[:-1]):
        end = k - size + 2 or np.iinfo(np.int64).max
        last = e.Slice(ids, ints(k - size + 1), ints(end), one)
        repeated = e.And(repeated, e.Equal(run, last))
    none = e.Expand(np.int32(0), e.Shape(scores))
    hit = e.Cast(repeated, to=INT32)
    hits = e.ScatterElements(none, runs[-1], hit, axis=1, reduction="max")
    return e.Where(e.Greater(hits, np.int32(0)), e.scalar(-np.inf), scores)
