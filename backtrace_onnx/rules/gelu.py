"""Gelu: what it is over its input, and its derivative."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from backtrace_onnx.ops.vocabulary import Ops, Value

_TANH = {"alpha": sqrt(2 / pi), "beta": 0.044715}  # of the approximation by tanh


def gelu_derivative(e: Ops, x: Value, approximate: str) -> Value:
    """The derivative of Gelu, exact or by its tanh approximation."""
    if approximate != "tanh":
        return normal_derivative(e, x)
    a, b, half = e.scalar(_TANH["alpha"]), e.scalar(_TANH["beta"]), e.scalar(0.5)
    square = e.Mul(x, x)
    t = e.Tanh(e.Mul(a, e.Add(x, e.Mul(b, e.Mul(x, square)))))
    inner = e.Mul(a, e.Add(e.scalar(1), e.Mul(e.scalar(3), e.Mul(b, square))))
    slope = e.Mul(e.Mul(half, x), e.Mul(e.Sub(e.scalar(1), e.Mul(t, t)), inner))
    return e.Add(e.Mul(half, e.Add(e.scalar(1), t)), slope)


def normal_derivative(e: Ops, x: Value, scale: float = 1.0, divides: bool = False) -> Value:
    """The derivative of `scale` times x times the normal distribution up to x.

    `divides`: whether x is divided by the root of 2, or multiplied.
    """
    turned = _turned(e, x, divides)
    normal = _normal(e, turned, scale)
    density = e.Mul(e.Div(turned, e.Exp(e.Mul(turned, turned))), e.scalar(scale / sqrt(pi)))
    return e.Add(normal, density)


def normal_ratio(e: Ops, x: Value, scale: float = 1.0, divides: bool = False) -> Value:
    """`scale` times the normal distribution up to x."""
    return _normal(e, _turned(e, x, divides), scale)


def _turned(e: Ops, x: Value, divides: bool) -> Value:
    return e.Div(x, e.scalar(sqrt(2))) if divides else e.Mul(x, e.scalar(sqrt(0.5)))


def _normal(e: Ops, turned: Value, scale: float) -> Value:
    part = e.Erf(turned)
    if scale == 1 and np.dtype(e.dtype) == np.float32:
        return e.HardSigmoid(part, alpha=0.5, beta=0.5)  # one sweep, which cuts nothing off
    made = e.Add(part, e.scalar(1))
    return made if scale == 2 else e.Mul(made, e.scalar(scale / 2))


def gelu_ratio(e: Ops, x: Value, approximate: str) -> Value:
    """Gelu over x."""
    if approximate != "tanh":
        return normal_ratio(e, x)
    cube = e.Mul(e.Mul(x, e.Mul(x, x)), e.scalar(_TANH["beta"]))
    part = e.Tanh(e.Mul(e.Add(x, cube), e.scalar(_TANH["alpha"])))
    return e.Mul(e.Add(part, e.scalar(1)), e.scalar(0.5))


__all__ = ["gelu_derivative", "gelu_ratio", "normal_derivative", "normal_ratio"]
