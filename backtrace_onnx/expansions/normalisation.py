"""Normalisations that onnxruntime's optimisers fuse with the sums before them."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.fused import channels_last
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
FLOAT = 1


@expansion("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    e: Ops,
    op: Op,
    x: Value,
    skip: Value,
    gamma: Value,
    beta: Value = None,
    bias: Value = None,
) -> tuple[Value, ...]:
    """LayerNormalization(x + skip + bias)."""
    total = _sum(e, x, skip, bias)
    epsilon = float(op.attribute("epsilon", 1e-12))
    scale = (gamma,) if beta is None else (gamma, beta)
    return e.LayerNormalization(total, *scale, axis=-1, epsilon=epsilon), None, None, total


@expansion("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    e: Ops, op: Op, x: Value, skip: Value, gamma: Value, bias: Value = None
) -> tuple[Value, ...]:
    """SimplifiedLayerNormalization(x + skip + bias)."""
    total = _sum(e, x, skip, bias)
    epsilon = float(op.attribute("epsilon", 1e-12))
    return root_mean_square(e, total, gamma, epsilon), None, None, total


@expansion("SimplifiedLayerNormalization")
def simplified_layer_normalization(e: Ops, op: Op, x: Value, gamma: Value) -> Value:
    """x / sqrt(mean(x^2) + epsilon) * gamma; onnxruntime keeps it in the domain of ai.onnx."""
    axis = int(op.attribute("axis", -1))
    axes = (-1,) if axis == -1 else tuple(range(axis % op.rank(0), op.rank(0)))
    return root_mean_square(e, x, gamma, float(op.attribute("epsilon", 1e-5)), axes)


def root_mean_square(
    e: Ops, x: Value, gamma: Value, epsilon: float, axes: tuple[int, ...] = (-1,)
) -> Value:
    """gamma * x / sqrt(mean(x^2) + epsilon); half precision is normalised in float32."""
    if e.dtype.itemsize >= np.float32().itemsize:
        return e.Mul(_unit(e, x, e.scalar(2), e.scalar(epsilon), axes), gamma)
    two, small = np.float32(2), np.float32(epsilon)
    unit = _unit(e, e.Cast(x, to=FLOAT), two, small, axes)
    return e.Mul(e.Cast(unit, to=e.float_type), gamma)


def _unit(e: Ops, x: Value, two: Value, epsilon: Value, axes: tuple[int, ...]) -> Value:
    mean = e.ReduceMean(e.Pow(x, two), ints(*axes), keepdims=1)
    return e.Div(x, e.Sqrt(e.Add(mean, epsilon)))


def _sum(e: Ops, x: Value, skip: Value, bias: Value) -> Value:
    """x + skip + bias; what the bias belongs to is found by reading the sum."""
    total = e.Add(x, skip)
    return total if bias is None else e.Add(total, bias)


@expansion("GatedRMSNorm", domain=MICROSOFT)
def gated_rms_norm(e: Ops, op: Op, x: Value, scale: Value, gate: Value) -> Value:
    """Root-mean-square normalisation of x in groups as long as `scale`, times act(gate)."""
    size = op.type(1).shape
    if not size or not isinstance(size[0], int):
        raise RuleError("the length of its scale is not known")
    grouped = e.Reshape(x, e.Concat(e.Shape(x, end=-1), ints(-1, size[0]), axis=0))
    normed = root_mean_square(e, grouped, scale, float(op.attribute("epsilon", 1e-5)))
    opened = e.Sigmoid(gate)
    if op.attribute("activation", "silu") != "sigmoid":
        opened = e.Mul(gate, opened)
    return e.Mul(e.Reshape(normed, e.Shape(x)), opened)


@expansion("BranchwiseRMSNorm", domain=MICROSOFT)
def branchwise_rms_norm(e: Ops, op: Op, x: Value, scale: Value = None) -> Value:
    """Root-mean-square normalisation of every branch."""
    branches = int(op.attribute("num_branches", 0))
    grouped = (
        x
        if not branches
        else e.Reshape(x, e.Concat(e.Shape(x, end=-1), ints(branches, -1), axis=0))
    )
    size = e.Shape(grouped, start=-1)
    epsilon = float(op.attribute("epsilon", 1e-5))
    normed = root_mean_square(e, grouped, e.scalar(1), epsilon)
    if scale is not None:
        laid = scale if op.rank(1) == 2 else e.Reshape(scale, e.Concat(ints(-1), size, axis=0))
        normed = e.Mul(normed, laid)
    return normed if not branches else e.Reshape(normed, e.Shape(x))


@expansion("GroupNorm", domain=MICROSOFT)
def group_norm(e: Ops, op: Op, x: Value, gamma: Value, beta: Value) -> Value:
    """gamma * x' + beta of x normalised in groups of channels, then perhaps SiLU."""
    groups, epsilon = int(op.attribute("groups")), float(op.attribute("epsilon", 1e-5))
    ones, zeros = np.ones(groups, e.dtype), np.zeros(groups, e.dtype)

    def text(first: Value) -> Value:
        laid = e.Reshape(first, ints(0, groups, -1))
        unit = e.Reshape(
            e.InstanceNormalization(laid, ones, zeros, epsilon=epsilon), e.Shape(first)
        )
        scale, shift = (
            e.Reshape(e.Cast(v, to=e.float_type), ints(1, -1, 1, 1)) for v in (gamma, beta)
        )
        made = e.Add(e.Mul(unit, scale), shift)
        return e.Mul(made, e.Sigmoid(made)) if op.attribute("activation", 0) else made

    return channels_last(e, 4, x, text) if op.attribute("channels_last", 1) else text(x)


@expansion("SkipGroupNorm", domain=MICROSOFT)
def skip_group_norm(
    e: Ops, op: Op, x: Value, gamma: Value, beta: Value, skip: Value, bias: Value = None
) -> tuple[Value, Value]:
    """GroupNorm(x + skip + bias)."""
    last = op.attribute("channels_last", 1)
    if op.rank(3) == 2:
        skip = e.Unsqueeze(skip, ints(1, 2) if last else ints(2, 3))
    if bias is not None:
        x = e.Add(x, bias if last else e.Unsqueeze(bias, ints(1, 2)))
    total = e.Add(x, skip)
    return group_norm(e, op, total, gamma, beta), total
