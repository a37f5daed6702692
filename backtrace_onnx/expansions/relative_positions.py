"""Biases of attention that depend on how far apart two tokens are."""

from __future__ import annotations

from math import log

import numpy as np

from backtrace_onnx.expansions.attention_core import heads
from backtrace_onnx.expansions.packed_batches import restored
from backtrace_onnx.expansions.phrases import FLOAT, INT64, halves, named, places, size_of
from backtrace_onnx.expansions.registry import Op, Ops, Value, ints, microsoft


@microsoft("RelativePositionBias")
def relative_position_bias(e: Ops, op: Op, table: Value, queries: Value, keys: Value) -> Value:
    """A row of the table per distance, near ones apart, far ones in logarithmic buckets (T5)."""
    buckets, count = size_of(op, 0, 0), size_of(op, 0, 1)
    at = [places(e, e.Reshape(e.Cast(n, to=INT64), ints())) for n in (queries, keys)]
    apart = e.Unsqueeze(at[1], ints(0)) - e.Unsqueeze(at[0], ints(1))
    by_heads = e.Reshape(table, ints(count, buckets))  # that is how it lies in memory
    return e.Unsqueeze(e.Gather(by_heads, _bucket(e, op, apart, buckets), axis=1), ints(0))


def _bucket(e: Ops, op: Op, apart: Value, buckets: int) -> Value:
    """Number of the bucket of key - query: exact up to half of them, then by its logarithm.

    Raffel et al. (2020), T5. All distances of max_distance and more are in the last bucket; where
    keys may be later than their query, these have the second half of the buckets.
    """
    first: Value = np.int64(0)
    if op.attribute("is_bidirectional", 0):
        buckets //= 2
        first = e.Cast(apart > np.int64(0), to=INT64) * np.int64(buckets)
        distance = e.Abs(apart)
    else:
        distance = -e.Min(apart, np.int64(0))
    exact = np.int64(buckets // 2)
    per_step = (buckets - exact) / log(op.attribute("max_distance") / exact)
    ratio = e.Cast(e.Max(distance, exact), to=FLOAT) / np.float32(exact)
    steps = e.Cast(e.Log(ratio) * np.float32(per_step), to=INT64)
    far = e.Min(steps + exact, np.int64(buckets - 1))
    return first + e.Where(distance < exact, distance, far)


@microsoft("GatedRelativePositionBias")
def gated_relative_position_bias(e: Ops, op: Op, *inputs: Value) -> Value:
    """biases * (u (r * scale - 1) + 2), u and r being gates of the query."""
    x = named("query query_bias biases weight bias scale offsets", inputs)
    shifted = x.query + x.query_bias
    if x.offsets is not None:
        shifted = restored(e, shifted, x.offsets)
    q = heads(e, shifted, op.attribute("num_heads"))
    gates = e.Reshape(e.MatMul(q, x.weight) + x.bias, ints(0, 0, 0, 2, -1))
    u, r = halves(e, e.Sigmoid(e.ReduceSum(gates, ints(-1), keepdims=0)))
    return (u * (r * x.scale - 1.0) + 2.0) * x.biases
