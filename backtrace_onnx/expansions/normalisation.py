"""Normalisations that onnxruntime's optimisers fuse with the sums before them."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.phrases import (
    FLOAT,
    channels_last,
    given,
    laid,
    size_of,
    swish,
    total,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, ints, microsoft


@microsoft("SkipLayerNormalization")
def skip_layer_normalization(
    e: Ops, op: Op, x: Value, skip: Value, gamma: Value, beta: Value = None, bias: Value = None
) -> tuple[Value, ...]:
    """LayerNormalization(x + skip + bias)."""
    # What a constant bias belongs to is found by reading the sum.
    added, epsilon = total(e, x, skip, bias), op.attribute("epsilon", 1e-12)
    y = e.LayerNormalization(added, *given(gamma, beta), axis=-1, epsilon=epsilon)
    return y, None, None, added


@microsoft("SkipSimplifiedLayerNormalization")
def skip_simplified_layer_normalization(
    e: Ops, op: Op, x: Value, skip: Value, gamma: Value, bias: Value = None
) -> tuple[Value, ...]:
    """SimplifiedLayerNormalization(x + skip + bias)."""
    added = total(e, x, skip, bias)
    return root_mean_square(e, added, gamma, op.attribute("epsilon", 1e-12)), None, None, added


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
    real = e.Cast(x, to=FLOAT) if narrow else x
    two, small = (np.asarray(n, np.float32 if narrow else e.dtype) for n in (2, epsilon))
    unit = real / e.Sqrt(e.ReduceMean(real**two, ints(*axes), keepdims=1) + small)
    return (e.Cast(unit, to=e.float_type) if narrow else unit) * gamma


@microsoft("GatedRMSNorm")
def gated_rms_norm(e: Ops, op: Op, x: Value, scale: Value, gate: Value) -> Value:
    """Root-mean-square normalisation of x in groups as long as `scale`, times act(gate)."""
    grouped = laid(e, x, e.Shape(x, end=-1), -1, size_of(op, 1, 0))
    normed = root_mean_square(e, grouped, scale, op.attribute("epsilon", 1e-5))
    opened = e.Sigmoid(gate) if op.attribute("activation", "silu") == "sigmoid" else swish(e, gate)
    return e.Reshape(normed, e.Shape(x)) * opened


@microsoft("BranchwiseRMSNorm")
def branchwise_rms_norm(e: Ops, op: Op, x: Value, scale: Value = None) -> Value:
    """Root-mean-square normalisation of every branch."""
    branches = op.attribute("num_branches", 0)
    grouped = laid(e, x, e.Shape(x, end=-1), branches, -1) if branches else x
    normed = root_mean_square(e, grouped, e.scalar(1), op.attribute("epsilon", 1e-5))
    if scale is not None:
        normed *= scale if op.rank(1) == 2 else laid(e, scale, -1, e.Shape(grouped, start=-1))
    return e.Reshape(normed, e.Shape(x)) if branches else normed


@microsoft("GroupNorm")
def group_norm(e: Ops, op: Op, x: Value, gamma: Value, beta: Value) -> Value:
    """gamma * x' + beta of x normalised in groups of channels, then perhaps SiLU."""
    groups, epsilon = op.attribute("groups"), op.attribute("epsilon", 1e-5)
    ones, zeros = np.ones(groups, e.dtype), np.zeros(groups, e.dtype)

    def by_channel(v: Value) -> Value:
        return e.Reshape(e.Cast(v, to=e.float_type), ints(1, -1, 1, 1))

    def text(first: Value) -> Value:
        grouped = e.Reshape(first, ints(0, groups, -1))
        normed = e.InstanceNormalization(grouped, ones, zeros, epsilon=epsilon)
        made = e.Reshape(normed, e.Shape(first)) * by_channel(gamma) + by_channel(beta)
        return swish(e, made) if op.attribute("activation", 0) else made

    return channels_last(e, 4, x, text) if op.attribute("channels_last", 1) else text(x)


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
    added = total(e, x, bias, skip)
    return group_norm(e, op, added, gamma, beta), added
