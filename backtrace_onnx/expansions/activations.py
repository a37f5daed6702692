"""Activations that onnxruntime's optimisers fuse with what stands before them."""

from __future__ import annotations

from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion

MICROSOFT = "com.microsoft"


@expansion("BiasGelu", domain=MICROSOFT, opset=20)
def bias_gelu(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """Gelu(x + bias)."""
    return e.Gelu(e.Add(x, bias))


@expansion("QuickGelu", domain=MICROSOFT)
def quick_gelu(e: Ops, op: Op, x: Value) -> Value:
    """x * sigmoid(alpha x)."""
    alpha = e.scalar(float(op.attribute("alpha", 1.702)))
    return e.Mul(x, e.Sigmoid(e.Mul(x, alpha)))
