"""Activations that onnxruntime's optimisers fuse with what stands before them."""

from __future__ import annotations

from backtrace_onnx.expansions.phrases import halves, swish, total
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, microsoft


@microsoft("BiasGelu", opset=20)
def bias_gelu(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """Gelu(x + bias)."""
    return e.Gelu(e.Add(x, bias))


@microsoft("BiasSplitGelu", opset=20)
def bias_split_gelu(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """left * Gelu(right), the halves of x + bias."""
    left, right = halves(e, e.Add(x, bias))
    return e.Mul(left, e.Gelu(right))


@microsoft("FastGelu", opset=20)
def fast_gelu(e: Ops, op: Op, x: Value, bias: Value = None) -> Value:
    """Gelu(x + bias) by its tanh approximation."""
    return e.Gelu(total(e, x, bias), approximate="tanh")


@microsoft("GemmFastGelu", opset=20)
def gemm_fast_gelu(e: Ops, op: Op, x: Value, w: Value, bias: Value = None) -> Value:
    """Gelu(x w + bias) by its tanh approximation."""
    return fast_gelu(e, op, e.MatMul(x, w), bias)


@microsoft("QuickGelu")
def quick_gelu(e: Ops, op: Op, x: Value) -> Value:
    """x * sigmoid(alpha x)."""
    return swish(e, x, op.attribute("alpha", 1.702))


@microsoft("ScaledSiLU")
def scaled_silu(e: Ops, op: Op, x: Value, scale: Value = None) -> Value:
    """z * sigmoid(z) of z = scale * x."""
    return swish(e, e.Mul(x, e.scalar(op.attribute("alpha", 1.0)) if scale is None else scale))


@microsoft("GatedAdd")
def gated_add(e: Ops, op: Op, x: Value, y: Value, gate: Value, weight: Value = None) -> Value:
    """x + y * gate; where the gate has weights, y times the sigmoid of their product."""
    if weight is not None:
        gate = e.Sigmoid(e.MatMul(gate, weight))
    return e.Add(x, e.Mul(y, gate))


@expansion("Erfc")
def erfc(e: Ops, op: Op, x: Value) -> Value:
    """1 - erf(x): Keras' own export writes the exact GELU with it, which no runtime loads."""
    return e.Sub(e.scalar(1.0), e.Erf(x))
