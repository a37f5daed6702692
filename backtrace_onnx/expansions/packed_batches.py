"""Batches without their padding: the tokens of all samples in one list, and attention to it.

`offsets` [samples, tokens] tell the place every packed token had, then those of the padding.
"""

from __future__ import annotations

from math import prod

import numpy as np

from backtrace_onnx.expansions import attention_core as core
from backtrace_onnx.expansions.attention import biased, projections
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, ints, microsoft


@microsoft("RemovePadding")
def remove_padding(e: Ops, op: Op, x: Value, counts: Value) -> tuple[Value, ...]:
    """The first `counts` tokens of every sample, one after another."""
    counts = e.int64(counts)
    kept = e.Unsqueeze(e.places(e.length(x, 1)), ints(0)) < e.Unsqueeze(counts, ints(1))
    first, rest = (
        e.Reshape(e.NonZero(e.Reshape(part, ints(-1))), ints(-1)) for part in (kept, e.Not(kept))
    )
    tokens = e.Gather(e.laid(x, -1, e.Shape(x, start=2)), first)
    offsets = e.Reshape(e.Concat(first, rest, axis=0), e.Shape(kept))
    ends = e.Concat(ints(0), e.CumSum(counts, np.int64(0)), axis=0)
    longest = e.ReduceMax(counts, keepdims=1)
    return tokens, *(e.int32(n) for n in (offsets, ends, longest))


@microsoft("RestorePadding")
def restore_padding(e: Ops, op: Op, x: Value, offsets: Value) -> Value:
    """Every token at its place, 0 where there is padding."""
    return restored(e, x, offsets)


def restored(e: Ops, x: Value, offsets: Value) -> Value:
    """Tokens x[tokens, features] at their places, [samples, tokens, features]."""
    features = e.Shape(x, start=1)
    flat = e.Expand(e.zero(), e.Concat(e.Shape(e.Reshape(offsets, ints(-1))), features, axis=0))
    filled = e.ScatterND(flat, e.Unsqueeze(_taken(e, x, offsets), ints(1)), x)
    return e.laid(filled, e.Shape(offsets), features)


def _taken(e: Ops, packed: Value, offsets: Value) -> Value:
    """int64[tokens]: places in the flattened batch of the tokens `packed` has."""
    flat = e.int64(e.Reshape(offsets, ints(-1)))
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
        q, k, v = (
            e.Reshape(e.Gather(q, np.int64(i), axis=2), ints(0, features[i])) for i in range(3)
        )
    else:
        features = [_features(op, i) for i in range(3)]
    return _attended(e, op, biased(e, op, [q, k, v], bias, features), features, *rest)


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
    q, k, v = (core.heads(e, restored(e, x, offsets), count) for x in projected)
    samples, first = e.Shape(q, end=1), ints(0)
    last = samples + ints(1)
    counts = e.Slice(ends, ints(1), last, first) - e.Slice(ends, first, samples, first)
    masking = core.hidden(e, core.within(e, counts, samples, e.length(k)))
    y, _ = core.attend(e, op, q, k, v, added, masking, size=features[0] // count)
    y = core.merged(e, y)
    return e.Gather(e.laid(y, -1, e.Shape(y, start=2)), _taken(e, projected[0], offsets))
