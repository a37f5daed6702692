"""Functions that saturate, on one side at least, and whether numbers are one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
_SMALLEST = 1e-30
_WITHIN = 1e-4
"""How far from its limits a function's value must be to tell where it comes from."""


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _log_softmax(x: Array, axis: int) -> Array:
    lifted = x - x.max(axis, keepdims=True)
    return np.asarray(lifted - np.log(np.exp(lifted).sum(axis, keepdims=True)))


def _sigmoid(x: Array) -> Array:
    return np.asarray((1 + np.tanh(x / 2)) / 2)


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def _log_sigmoid(x: Array) -> Array:
    return -_softplus(-x)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "LogSigmoid": _log_sigmoid,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Tanh": np.tanh,
}
"""By name: functions of one number."""

ALONG: dict[str, Callable[[Array, int], Array]] = {"Softmax": _softmax, "LogSoftmax": _log_softmax}
"""By name: functions along an axis."""


def fitted(x: Array, y: Array, limit: float) -> tuple[str, float, float, int | None] | None:
    """(name, scale, shift, axis) where y is that function of scale * x + shift, to `limit`."""
    if x.shape != y.shape or not np.isfinite(y).all():
        return None
    for name, scale, shift, axis in _candidates(x, y):
        lifted = scale * x + shift
        wanted = FUNCTIONS[name](lifted) if axis is None else ALONG[name](lifted, axis)
        if scale and np.abs(wanted - y).max() <= limit * max(1.0, np.abs(wanted).max()):
            return name, scale, shift, axis
    return None


def _candidates(x: Array, y: Array) -> Iterator[tuple[str, float, float, int | None]]:
    for name, low in (("Sigmoid", 0.0), ("Tanh", -1.0)):
        inside = (y > low + _WITHIN) & (y < 1 - _WITHIN)
        if inside.sum() > 1:
            level = np.log((y[inside] - low) / (1 - y[inside])) / (1 - low)
            slope, shift = np.polyfit(x[inside], level, 1)
            is_shifted = abs(shift) > _WITHIN * max(abs(slope), 1)
            yield name, float(slope), float(shift) if is_shifted else 0.0, None
    for axis in range(x.ndim):
        yield "LogSoftmax", _slope(x, y, axis), 0.0, axis
        if (y >= 0).all():
            logs = np.log(np.maximum(y, _SMALLEST))
            yield "Softmax", _slope(x, logs, axis), 0.0, axis


def _slope(x: Array, y: Array, axis: int) -> float:
    """By how much y grows with x along an axis, where it is not too small to tell."""
    told = y > np.log(2 * _SMALLEST)
    count = np.maximum(told.sum(axis, keepdims=True), 1)
    apart = np.where(told, x - (x * told).sum(axis, keepdims=True) / count, 0)
    total = float((apart**2).sum())
    return float((apart * y).sum()) / total if total else 0.0


__all__ = ["ALONG", "FUNCTIONS", "fitted"]
