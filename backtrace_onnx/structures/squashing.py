"""Slopes of a softmax or sigmoid that an operator makes of its units itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import CURVED

_MEET = 1e-3  # closer than that a difference of values is rounding


def slopes_between(function: str) -> Callable[..., Value]:
    """Text `(ops, t, t0, m) -> ` slopes that (t - t0) times them is m times the difference of the
    probabilities: secants of a sigmoid, the mean Jacobian of a softmax on the line."""
    return _secants if function == "sigmoid" else _mean_jacobian


def slopes_of(function: str) -> Callable[..., tuple[Value, Value]]:
    """Text `(ops, t, m) -> ` the slopes of units, and what is a constant's: secants of a sigmoid
    from 0, the Jacobian of a softmax."""
    return _secants_from_zero if function == "sigmoid" else _jacobian


def _secants(e: Ops, t: Value, t0: Value, m: Value) -> Value:
    step = e.Sub(t, t0)
    near = e.Less(e.Abs(step), e.scalar(_MEET))
    p = e.Sigmoid(e.Mul(e.Add(t, t0), e.scalar(0.5)))
    middle = e.Mul(p, e.Sub(e.scalar(1), p))
    far = e.Div(e.Sub(e.Sigmoid(t), e.Sigmoid(t0)), e.Where(near, e.scalar(1), step))
    return e.Mul(m, e.Where(near, middle, far))


def _mean_jacobian(e: Ops, t: Value, t0: Value, m: Value) -> Value:
    places, weights = np.polynomial.legendre.leggauss(CURVED)
    total = None
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        between = e.Add(t0, e.Mul(e.Sub(t, t0), e.scalar(float(place))))
        part = e.Mul(_of_softmax(e, between, m), e.scalar(float(weight)))
        total = part if total is None else e.Add(total, part)
    return total


def _of_softmax(e: Ops, t: Value, m: Value) -> Value:
    p = e.Softmax(t, axis=-1)
    return e.Mul(p, e.Sub(m, e.ReduceSum(e.Mul(m, p), ints(-1), keepdims=1)))


def _secants_from_zero(e: Ops, t: Value, m: Value) -> tuple[Value, Value]:
    zero = e.Mul(t, e.zero())
    return _secants(e, t, zero, m), e.Mul(m, e.scalar(0.5))


def _jacobian(e: Ops, t: Value, m: Value) -> tuple[Value, Value]:
    slope = _of_softmax(e, t, m)
    return slope, e.Mul(slope, e.zero())


__all__ = ["slopes_between", "slopes_of"]
