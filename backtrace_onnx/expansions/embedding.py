"""Embeddings, and what onnxruntime's optimisers fuse with them."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.quantised import Scaled
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
INT64 = 7


@expansion("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(
    e: Ops,
    op: Op,
    ids: Value,
    segment_ids: Value,
    words: Value,
    positions: Value,
    segments: Value,
    gamma: Value,
    beta: Value,
    mask: Value = None,
    position_ids: Value = None,
) -> tuple[Value, ...]:
    """LayerNormalization(words[ids] + segments[segment] + positions[position])."""
    length = e.Shape(ids, start=1, end=2)
    if position_ids is None:
        rows = e.Unsqueeze(e.Slice(positions, ints(0), length, ints(0)), ints(0))
    else:
        rows = e.Gather(positions, position_ids, axis=0)
    total = e.Gather(words, ids, axis=0)
    if segment_ids is not None:  # first, as in the models this is fused from
        total = e.Add(total, e.Gather(segments, segment_ids, axis=0))
    total = e.Add(total, rows)
    epsilon = float(op.attribute("epsilon", 1e-12))
    y = e.LayerNormalization(total, gamma, beta, axis=-1, epsilon=epsilon)
    return y, _lengths(e, op, ids, mask), total


def _lengths(e: Ops, op: Op, ids: Value, mask: Value) -> Value:
    """Number of ones in each row of the mask, int32[samples]; 0 where there is none."""
    if mask is None:
        return e.Expand(np.int32(0), e.Shape(ids, start=0, end=1))
    return e.ReduceSum(e.Cast(mask, to=6), ints(1), keepdims=0)


@expansion("QEmbedLayerNormalization", domain=MICROSOFT)
def quantised_embed_layer_normalization(e: Ops, op: Op, *inputs: Value) -> Value:
    """LayerNormalization of the sum of the rows they stand for."""
    ids, segment_ids, mask = (*inputs[:2], inputs[7])
    read = Scaled(e, op, inputs, at_once=True)
    tables = [None if inputs[i] is None else read(i, i + 6, i + 11) for i in range(2, 7)]
    return embed_layer_normalization(e, op, ids, segment_ids, *tables, mask)


@expansion("TorchEmbedding", domain=MICROSOFT)
def torch_embedding(e: Ops, op: Op, table: Value, ids: Value, *_: Value) -> Value:
    """Rows of the table; the other inputs matter to training only."""
    return e.Gather(table, ids, axis=0)


@expansion("WordConvEmbedding", domain=MICROSOFT)
def word_conv_embedding(
    e: Ops, op: Op, words: Value, kernel: Value, bias: Value, table: Value
) -> Value:
    """The largest tanh(convolution) along the letters of every word; letter 0 is none."""
    letters = e.Unsqueeze(e.Gather(table, words, axis=0), ints(1))
    y = e.Squeeze(e.Tanh(e.Conv(letters, kernel, bias)), ints(3))
    count = e.ReduceSum(e.Cast(e.Greater(words, np.int32(0)), to=INT64), ints(1), keepdims=1)
    window = e.Shape(kernel, start=2, end=3)
    places = e.Sub(e.Max(count, window), e.Sub(window, ints(1)))
    at = e.Range(np.int64(0), e.Squeeze(e.Shape(y, start=2), ints(0)), np.int64(1))
    inside = e.Unsqueeze(e.Less(e.Unsqueeze(at, ints(0)), places), ints(1))
    return e.ReduceMax(e.Where(inside, y, e.scalar(-2.0)), ints(2), keepdims=0)
