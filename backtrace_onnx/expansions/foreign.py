"""Operators that exporters write though ONNX has none of their name."""

from __future__ import annotations

from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion


@expansion("Erfc")
def erfc(e: Ops, op: Op, x: Value) -> Value:
    """1 - erf(x): Keras' own export writes the exact GELU with it, which no runtime loads."""
    return e.Sub(e.scalar(1.0), e.Erf(x))
