"""Activations that onnxruntime's optimisers fuse with what stands before them."""

from __future__ import annotations

from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion

MICROSOFT = "com.microsoft"


@expansion("BiasGelu", domain=MICROSOFT, opset=20)
def bias_gelu(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """Gelu(x + bias)."""
    return e.Gelu(e.Add(x, bias))


@expansion("FastGelu", domain=MICROSOFT, opset=20)
def fast_gelu(e: Ops, op: Op, x: Value, bias: Value = None) -> Value:
    """Gelu(x + bias) by its tanh approximation."""
    return e.Gelu(x if bias is None else e.Add(x, bias), approximate="tanh")


@expansion("QuickGelu", domain=MICROSOFT)
def quick_gelu(e: Ops, op: Op, x: Value) -> Value:
    """x * sigmoid(alpha x)."""
    alpha = e.scalar(float(op.attribute("alpha", 1.702)))
    return e.Mul(x, e.Sigmoid(e.Mul(x, alpha)))


@expansion("ScaledSiLU", domain=MICROSOFT)
def scaled_silu(e: Ops, op: Op, x: Value, scale: Value = None) -> Value:
    """z * sigmoid(z) of z = scale * x."""
    z = e.Mul(x, e.scalar(float(op.attribute("alpha", 1.0))) if scale is None else scale)
    return e.Mul(z, e.Sigmoid(z))


@expansion("GatedAdd", domain=MICROSOFT)
def gated_add(e: Ops, op: Op, x: Value, y: Value, gate: Value, weight: Value = None) -> Value:
    """x + y * gate; where the gate has weights, y times the sigmoid of their product."""
    if weight is not None:
        gate = e.Sigmoid(e.MatMul(gate, weight))
    return e.Add(x, e.Mul(y, gate))
