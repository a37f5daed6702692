"""Normalisations that onnxruntime's optimisers fuse with the sums and embeddings before them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backtrace_onnx.expansions.phrases import named
from backtrace_onnx.expansions.quantised import Scaled
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, ints, microsoft

_EMBEDDED = "ids segment_ids words positions segments gamma beta mask position_ids"


@microsoft("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_normalization(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LayerNormalization or SimplifiedLayerNormalization of x + skip + bias."""
    simplified, epsilon = "Simplified" in op.node.op_type, op.attribute("epsilon", 1e-12)
    x = named("x skip gamma bias" if simplified else "x skip gamma beta bias", inputs)
    # What a constant bias belongs to is found by reading the sum.
    added = e.added(x.x, x.skip, x.bias)
    if simplified:
        return root_mean_square(e, added, x.gamma, epsilon), None, None, added
    y = e.LayerNormalization(added, x.gamma, x.beta, axis=-1, epsilon=epsilon)
    return y, None, None, added


@expansion("SimplifiedLayerNormalization")
def simplified_layer_normalization(e: Ops, op: Op, x: Value, gamma: Value) -> Value:
    """x / sqrt(mean(x^2) + epsilon) * gamma; onnxruntime keeps it in the domain of ai.onnx."""
    axis = op.attribute("axis", -1)
    axes = (-1,) if axis == -1 else tuple(range(axis % op.rank(0), op.rank(0)))
    return root_mean_square(e, x, gamma, op.attribute("epsilon", 1e-5), axes)


def root_mean_square(
    e: Ops, x: Value, gamma: Value, epsilon: float, axes: tuple[int, ...] = (-1,)
) -> Value:
    """gamma * x / sqrt(mean(x^2) + epsilon); half precision in float32, as onnxruntime does."""
    narrow = e.dtype.itemsize < np.float32().itemsize
    real = e.float32(x) if narrow else x
    two, small = (np.asarray(n, np.float32 if narrow else e.dtype) for n in (2, epsilon))
    unit = real / e.Sqrt(e.ReduceMean(real**two, ints(*axes), keepdims=1) + small)
    return (e.floats(unit) if narrow else unit) * gamma


@microsoft("GatedRMSNorm")
def gated_rms_norm(e: Ops, op: Op, x: Value, scale: Value, gate: Value) -> Value:
    """Root-mean-square normalisation of x in groups as long as `scale`, times act(gate)."""
    grouped = e.laid(x, e.Shape(x, end=-1), -1, op.size(1, 0))
    normed = root_mean_square(e, grouped, scale, op.attribute("epsilon", 1e-5))
    opened = e.Sigmoid(gate) if op.attribute("activation", "silu") == "sigmoid" else e.swish(gate)
    return e.Reshape(normed, e.Shape(x)) * opened


@microsoft("BranchwiseRMSNorm")
def branchwise_rms_norm(e: Ops, op: Op, x: Value, scale: Value = None) -> Value:
    """Root-mean-square normalisation of every branch."""
    branches = op.attribute("num_branches", 0)
    grouped = e.laid(x, e.Shape(x, end=-1), branches, -1) if branches else x
    normed = root_mean_square(e, grouped, e.scalar(1), op.attribute("epsilon", 1e-5))
    if scale is not None:
        normed *= scale if op.rank(1) == 2 else e.laid(scale, -1, e.Shape(grouped, start=-1))
    return e.Reshape(normed, e.Shape(x)) if branches else normed


@microsoft("GroupNorm")
def group_norm(e: Ops, op: Op, x: Value, gamma: Value, beta: Value) -> Value:
    """gamma * x' + beta of x normalised in groups of channels, then perhaps SiLU."""
    groups, epsilon = op.attribute("groups"), op.attribute("epsilon", 1e-5)
    ones, zeros = np.ones(groups, e.dtype), np.zeros(groups, e.dtype)

    def by_channel(v: Value) -> Value:
        return e.Reshape(e.floats(v), ints(1, -1, 1, 1))

    def text(first: Value) -> Value:
        grouped = e.Reshape(first, ints(0, groups, -1))
        normed = e.InstanceNormalization(grouped, ones, zeros, epsilon=epsilon)
        made = e.Reshape(normed, e.Shape(first)) * by_channel(gamma) + by_channel(beta)
        return e.swish(made) if op.attribute("activation", 0) else made

    return e.channels_last(4, x, text) if op.attribute("channels_last", 1) else text(x)


@microsoft("SkipGroupNorm")
def skip_group_norm(
    e: Ops, op: Op, x: Value, gamma: Value, beta: Value, skip: Value, bias: Value = None
) -> tuple[Value, Value]:
    """GroupNorm(x + skip + bias)."""
    last = op.attribute("channels_last", 1)
    if op.rank(3) == 2:
        skip = e.Unsqueeze(skip, ints(1, 2) if last else ints(2, 3))
    if bias is not None and not last:
        bias = e.Unsqueeze(bias, ints(1, 2))
    added = e.added(x, bias, skip)
    return group_norm(e, op, added, gamma, beta), added


# Of embeddings ----------------------------------------------------------------------------------


@microsoft("EmbedLayerNormalization")
def embed_layer_normalization(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LayerNormalization(words[ids] + segments[segment] + positions[position])."""
    return _embedded(e, op, named(_EMBEDDED, inputs))


@microsoft("QEmbedLayerNormalization")
def quantised_embed_layer_normalization(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LayerNormalization of the sum of the rows they stand for."""
    read = Scaled(e, op, inputs, at_once=True)
    tables = [None if inputs[i] is None else read(i, i + 6, i + 11) for i in range(2, 7)]
    return _embedded(e, op, named(_EMBEDDED, [*inputs[:2], *tables, inputs[7]]))


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
    return y, e.ReduceSum(e.int32(x.mask), ints(1), keepdims=0), total


@microsoft("WordConvEmbedding")
def word_conv_embedding(
    e: Ops, op: Op, words: Value, kernel: Value, bias: Value, table: Value
) -> Value:
    """The largest tanh(convolution) along the letters of every word; letter 0 is none."""
    letters = e.Unsqueeze(e.Gather(table, words, axis=0), ints(1))
    y = e.Squeeze(e.Tanh(e.Conv(letters, kernel, bias)), ints(3))
    count = e.ReduceSum(e.int64(words > np.int32(0)), ints(1), keepdims=1)
    window = e.Shape(kernel, start=2, end=3)
    windows = e.Max(count, window) - (window - ints(1))
    inside = e.Unsqueeze(e.Unsqueeze(e.places(e.length(y, 2)), ints(0)) < windows, ints(1))
    # -2 lies below every tanh, so a window beyond the word is never the largest.
    return e.ReduceMax(e.Where(inside, y, -2.0), ints(2), keepdims=0)
