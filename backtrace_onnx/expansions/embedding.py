"""Embeddings, and what onnxruntime's optimisers fuse with them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backtrace_onnx.expansions.phrases import INT32, INT64, length, named, places
from backtrace_onnx.expansions.quantised import Scaled
from backtrace_onnx.expansions.registry import Op, Ops, Value, ints, microsoft

_INPUTS = "ids segment_ids words positions segments gamma beta mask position_ids"


@microsoft("EmbedLayerNormalization")
def embed_layer_normalization(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LayerNormalization(words[ids] + segments[segment] + positions[position])."""
    return _embedded(e, op, named(_INPUTS, inputs))


@microsoft("QEmbedLayerNormalization")
def quantised_embed_layer_normalization(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LayerNormalization of the sum of the rows they stand for."""
    read = Scaled(e, op, inputs, at_once=True)
    tables = [None if inputs[i] is None else read(i, i + 6, i + 11) for i in range(2, 7)]
    return _embedded(e, op, named(_INPUTS, [*inputs[:2], *tables, inputs[7]]))


def _embedded(e: Ops, op: Op, x: SimpleNamespace) -> tuple[Value, ...]:
    """The normalised sum, the lengths of the texts, the sum."""
    if x.position_ids is None:
        first = e.Slice(x.positions, ints(0), e.Shape(x.ids, start=1, end=2), ints(0))
        rows = e.Unsqueeze(first, ints(0))
    else:
        rows = e.Gather(x.positions, x.position_ids, axis=0)
    total = e.Gather(x.words, x.ids, axis=0)
    if x.segment_ids is not None:  # first, as in the models this is fused from
        total += e.Gather(x.segments, x.segment_ids, axis=0)
    total += rows
    epsilon = op.attribute("epsilon", 1e-12)
    y = e.LayerNormalization(total, x.gamma, x.beta, axis=-1, epsilon=epsilon)
    if x.mask is None:  # then onnxruntime counts nothing
        return y, e.Expand(np.int32(0), e.Shape(x.ids, start=0, end=1)), total
    return y, e.ReduceSum(e.Cast(x.mask, to=INT32), ints(1), keepdims=0), total


@microsoft("WordConvEmbedding")
def word_conv_embedding(
    e: Ops, op: Op, words: Value, kernel: Value, bias: Value, table: Value
) -> Value:
    """The largest tanh(convolution) along the letters of every word; letter 0 is none."""
    letters = e.Unsqueeze(e.Gather(table, words, axis=0), ints(1))
    y = e.Squeeze(e.Tanh(e.Conv(letters, kernel, bias)), ints(3))
    count = e.ReduceSum(e.Cast(words > np.int32(0), to=INT64), ints(1), keepdims=1)
    window = e.Shape(kernel, start=2, end=3)
    windows = e.Max(count, window) - (window - ints(1))
    inside = e.Unsqueeze(e.Unsqueeze(places(e, length(e, y, 2)), ints(0)) < windows, ints(1))
    # -2 lies below every tanh, so a window beyond the word is never the largest.
    return e.ReduceMax(e.Where(inside, y, -2.0), ints(2), keepdims=0)
