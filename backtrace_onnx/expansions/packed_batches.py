"""Batches without their padding: the tokens of all samples in one list, and attention to it.

`offsets` [samples, tokens] tell the place every packed token had, then those of the padding.
"""

from __future__ import annotations

from math import prod

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attention import projections
from backtrace_onnx.expansions.attention_core import attend, heads, hidden, length, merged, within
from backtrace_onnx.expansions.phrases import INT32, INT64, parts, places
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints


@microsoft("RemovePadding")
def remove_padding(e: Ops, op: Op, x: Value, counts: Value) -> tuple[Value, ...]:
    """The first `counts` tokens of every sample, one after another."""
    counts = e.Cast(counts, to=INT64)
    at = places(e, e.Squeeze(e.Shape(x, start=1, end=2), ints(0)))
    kept = e.Less(e.Unsqueeze(at, ints(0)), e.Unsqueeze(counts, ints(1)))
    first, rest = (
        e.Reshape(e.NonZero(e.Reshape(part, ints(-1))), ints(-1)) for part in (kept, e.Not(kept))
    )
    tokens = e.Gather(e.Reshape(x, e.Concat(ints(-1), e.Shape(x, start=2), axis=0)), first)
    offsets = e.Reshape(e.Concat(first, rest, axis=0), e.Shape(kept))
    ends = e.Concat(ints(0), e.CumSum(counts, np.int64(0)), axis=0)
    longest = e.ReduceMax(counts, keepdims=1)
    return tokens, *(e.Cast(n, to=INT32) for n in (offsets, ends, longest))


@microsoft("RestorePadding")
def restore_padding(e: Ops, op: Op, x: Value, offsets: Value) -> Value:
    """Every token at its place, 0 where there is padding."""
    return restored(e, x, offsets)


def restored(e: Ops, x: Value, offsets: Value) -> Value:
    """Tokens x[tokens, features] at their places, [samples, tokens, features]."""
    features = e.Shape(x, start=1)
    count = e.Shape(e.Reshape(offsets, ints(-1)))
    flat = e.Expand(e.zero(), e.Concat(count, features, axis=0))
    laid = e.ScatterND(flat, e.Unsqueeze(_taken(e, x, offsets), ints(1)), x)
    return e.Reshape(laid, e.Concat(e.Shape(offsets), features, axis=0))


def _taken(e: Ops, packed: Value, offsets: Value) -> Value:
    """int64[tokens]: places in the flattened batch of the tokens `packed` has."""
    flat = e.Cast(e.Reshape(offsets, ints(-1)), to=INT64)
    return e.Slice(flat, ints(0), e.Shape(packed, end=1), ints(0))


@microsoft("PackedAttention")
def packed_attention(e: Ops, op: Op, x: Value, weights: Value, bias: Value, *rest: Value) -> Value:
    """Softmax(q k^T * scale) v of the projections of x, every sample within itself."""
    return _attended(e, op, *projections(e, op, x, weights, bias), *rest)


@microsoft("PackedMultiHeadAttention")
def packed_multi_head_attention(
    e: Ops, op: Op, q: Value, k: Value, v: Value, bias: Value, *rest: Value
) -> Value:
    """Softmax(q k^T * scale) v of what is projected, every sample within itself."""
    if k is None:  # then q[tokens, heads, 3, size] holds all three
        features = [_features(op, 0)] * 3
        projected = [
            e.Reshape(e.Gather(q, ints(i)[0], axis=2), ints(0, n)) for i, n in enumerate(features)
        ]
    else:
        projected, features = [q, k, v], [_features(op, i) for i in range(3)]
    if bias is not None:
        cuts = parts(e, op, bias, features)
        projected = [e.Add(x, b) for x, b in zip(projected, cuts, strict=True)]
    return _attended(e, op, projected, features, *rest)


def _features(op: Op, i: int) -> int:
    """Features of a token in input `i`: [tokens, features] or [tokens, heads, 3, size]."""
    shape = op.type(i).shape
    sizes = () if shape is None else shape[1:2] if len(shape) == 2 else (shape[1], shape[-1])
    if not sizes or not all(isinstance(n, int) for n in sizes):
        raise RuleError("the numbers of features of its inputs are not known")
    return prod(int(n) for n in sizes if isinstance(n, int))


def _attended(
    e: Ops,
    op: Op,
    projected: list[Value],
    features: list[int],
    offsets: Value,
    ends: Value,
    added: Value = None,
) -> Value:
    """Attention of packed projections, packed. Sample i has the tokens from ends[i] to ends[i + 1].

    Args:
        features: numbers of features of queries, keys and values.
        added: what is added to the scores.
    """
    count = op.attribute("num_heads")
    q, k, v = (heads(e, restored(e, x, offsets), count) for x in projected)
    samples = e.Shape(q, end=1)
    first, last = ints(0), e.Add(samples, ints(1))
    counts = e.Sub(e.Slice(ends, ints(1), last, first), e.Slice(ends, first, samples, first))
    masking = hidden(e, within(e, counts, samples, length(e, k)))
    scale, size = op.attribute("scale"), features[0] // count
    y = merged(e, attend(e, q, k, v, added, masking, scale=scale, size=size).y)
    flat = e.Reshape(y, e.Concat(ints(-1), e.Shape(y, start=2), axis=0))
    return e.Gather(flat, _taken(e, projected[0], offsets))
