"""Positions: features turned by angles that grow with them, and biases by how far apart two are."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

from backtrace_onnx.expansions.attention_core import heads, merged
from backtrace_onnx.expansions.packed_batches import restored
from backtrace_onnx.expansions.phrases import BFLOAT16, FLOAT16, named
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints, microsoft

_END = np.iinfo(np.int64).max
_INTERLEAVED = 1  # the value of mrope_layout


def rotated(e: Ops, x: Value, cos: Value, sin: Value, *, pairs: bool, size: int | None) -> Value:
    """x[samples, heads, tokens, size] turned by angles [samples, 1, tokens, turned / 2].

    Args:
        pairs: neighbours are turned together; else the two halves are.
        size: how many features are turned, the first ones; None is all.
    """
    rest: list[Value] = []
    if size is not None:
        x, *rest = (
            e.Slice(x, ints(first), ints(end), ints(3)) for first, end in ((0, size), (size, _END))
        )
    if pairs:
        cos, sin = e.Unsqueeze(cos, ints(-1)), e.Unsqueeze(sin, ints(-1))
    real, imaginary = e.halves(e.Reshape(x, ints(0, 0, 0, -1, 2)) if pairs else x)
    y = e.Concat(real * cos - imaginary * sin, real * sin + imaginary * cos, axis=-1)
    y = e.Reshape(y, ints(0, 0, 0, -1)) if pairs else y
    return e.Concat(y, *rest, axis=-1) if rest else y


def angles(e: Ops, table: Value, positions: Value) -> Value:
    """Rows of a table for positions [samples, tokens], as [samples, 1, tokens, features].

    Without positions the table has a row for every token.
    """
    rows = table if positions is None else e.Gather(table, positions, axis=0)
    return e.Unsqueeze(rows, ints(1))


@microsoft("RotaryEmbedding")
def rotary_embedding(e: Ops, op: Op, x: Value, positions: Value, cos: Value, sin: Value) -> Value:
    """Turned by the angles of its positions."""
    if op.rank(1) == 1:  # the position of the first token
        tokens = e.length(x, op.rank(0) - 2)
        positions = e.Unsqueeze(e.int64(positions) + e.places(tokens), ints(0))
    return standard_rotary_embedding(e, op, x, cos, sin, positions)


@expansion("RotaryEmbedding")
def standard_rotary_embedding(
    e: Ops, op: Op, x: Value, cos: Value, sin: Value, positions: Value = None
) -> Value:
    """Turned by the angles of its positions; without these the tables have a row per token."""
    return _turned(e, op, x, angles(e, cos, positions), angles(e, sin, positions))


@microsoft("MRotaryEmbedding")
def multimodal_rotary_embedding(
    e: Ops, op: Op, x: Value, positions: Value, cos: Value, sin: Value
) -> Value:
    """Turned by angles of which every position stream gives a part."""
    streams = _streams(op.attribute("mrope_section"), op.attribute("mrope_layout", 0))

    def mixed(table: Value) -> Value:
        rows = e.Gather(table, positions, axis=0)
        first, second, third = (e.Gather(rows, np.int64(k), axis=0) for k in range(3))
        made = e.Where(streams == 0, first, e.Where(streams == 1, second, third))
        return e.Unsqueeze(made, ints(1))

    return _turned(e, op, x, mixed(cos), mixed(sin))


def _streams(sections: Sequence[int], layout: int) -> np.ndarray:
    """Which of the three position streams every angle takes."""
    if layout != _INTERLEAVED:
        return np.repeat(np.arange(3), sections)
    streams = np.zeros(sum(sections), np.int64)
    for stream in (1, 2):
        streams[stream : 3 * sections[stream] : 3] = stream
    return streams


def _turned(e: Ops, op: Op, x: Value, cos: Value, sin: Value) -> Value:
    """x turned as the node's attributes say; the shapes tell how many heads where these do not."""
    if op.attribute("is_packed_batching", 0):
        raise RuleError("packed batches have no expansion")
    if op.attribute("scale", 1.0) != 1:
        raise RuleError("a scale has no expansion; onnxruntime's CPU ignores it")
    pairs, size = bool(op.attribute("interleaved", 0)), op.attribute("rotary_embedding_dim", 0)
    options: dict[str, Any] = {"pairs": pairs, "size": size or None}
    if op.rank(0) == 4:
        return rotated(e, x, cos, sin, **options)
    count = op.attribute("num_heads", 0) or op.size(0) // (2 * op.size(2))
    return merged(e, rotated(e, heads(e, x, count), cos, sin, **options))


@microsoft("GemmaRotaryEmbedding")
def gemma_rotary_embedding(
    e: Ops, op: Op, angle: Value, q: Value, q_half: Value, k: Value, k_half: Value
) -> tuple[Value, Value]:
    """x cos + x' sin of queries and keys; x' are given: their halves exchanged, one negated."""
    cos, sin = (e.Unsqueeze(e.CastLike(f(angle), q), ints(1)) for f in (e.Cos, e.Sin))
    return q * cos + q_half * sin, k * cos + k_half * sin


@microsoft("RMSNormRotary")
def normalised_rotary_embedding(
    e: Ops, op: Op, x: Value, scale: Value, positions: Value, cos: Value, sin: Value, *_: Value
) -> tuple[Value, Value]:
    """A slice of every head's features divided by its root mean square, then turned."""
    start, width = (int(op.attribute(f"input_{name}", 0)) for name in ("start", "width"))
    if start or width:
        x = e.Slice(x, ints(start), ints(start + width if width else _END), ints(3))
    real, epsilon = e.float32(x), np.float32(op.attribute("epsilon", 1e-6))
    unit = real / e.Sqrt(e.ReduceMean(real * real, ints(-1), keepdims=1) + epsilon) * scale
    if op.rank(2) != 2:  # the position of the first token
        positions = e.Reshape(positions, ints(1, 1)) + e.places(e.length(x, 1))
    tables = [angles(e, e.float32(table), positions) for table in (cos, sin)]
    by_heads = e.Transpose(unit, perm=[0, 2, 1, 3])
    count = op.attribute("rotary_embedding_dim")
    y = merged(e, rotated(e, by_heads, *tables, pairs=False, size=count))
    if op.attribute("flatten_batch", 0):
        y = e.laid(y, 1, -1, e.Shape(y, start=2))
    return e.Cast(y, to=FLOAT16 if op.attribute("output_fp16", 0) else BFLOAT16), unit


# Biases -----------------------------------------------------------------------------------------


@microsoft("RelativePositionBias")
def relative_position_bias(e: Ops, op: Op, table: Value, queries: Value, keys: Value) -> Value:
    """A row of the table per distance, near ones apart, far ones in logarithmic buckets (T5)."""
    buckets, count = op.size(0, 0), op.size(0, 1)
    at = [e.places(e.Reshape(e.int64(n), ints())) for n in (queries, keys)]
    apart = e.Unsqueeze(at[1], ints(0)) - e.Unsqueeze(at[0], ints(1))
    by_heads = e.Reshape(table, ints(count, buckets))  # that is how it lies in memory
    return e.Unsqueeze(e.Gather(by_heads, _bucket(e, op, apart, buckets), axis=1), ints(0))


def _bucket(e: Ops, op: Op, apart: Value, buckets: int) -> Value:
    """Number of the bucket of key - query: exact up to half of them, then by its logarithm.

    Raffel et al. (2020), T5. All distances of max_distance and more are in the last bucket; where
    keys may be later than their query, these have the second half of the buckets.
    """
    first: Value = 0
    if op.attribute("is_bidirectional", 0):
        buckets //= 2
        first = e.int64(apart > np.int64(0)) * np.int64(buckets)
        distance = e.Abs(apart)
    else:
        distance = -e.Min(apart, np.int64(0))
    exact = np.int64(buckets // 2)
    per_step = (buckets - exact) / log(op.attribute("max_distance") / exact)
    ratio = e.float32(e.Max(distance, exact)) / np.float32(exact)
    steps = e.int64(e.Log(ratio) * np.float32(per_step))
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
    u, r = e.halves(e.Sigmoid(e.ReduceSum(gates, ints(-1), keepdims=0)))
    return (u * (r * x.scale - 1.0) + 2.0) * x.biases
