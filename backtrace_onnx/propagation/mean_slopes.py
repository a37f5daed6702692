"""Slopes between a sample and its reference: the mean slope on the line from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.structures.base import Channels, Pieces, Step

Slopes = Callable[[Step], Pieces]


def mean_slopes(step: Step, slopes: Slopes, points: int) -> Pieces:
    """The mean of a node's slopes over points of the line from the reference to the sample.

    By Gauss-Legendre, closer towards the ends: a reference of zeros leaves a normalisation next to
    nothing to divide by, so that its slope is steep there. One point, half way, is exact for
    products.
    """
    u, weights = np.polynomial.legendre.leggauss(points)
    u = (u + 1) / 2
    places, weights = u**3 * (10 - 15 * u + 6 * u**2), weights * (u * (1 - u)) ** 2
    weights = weights / weights.sum()
    found: dict[int, Channels] = {}
    for place, weight in zip(places, weights, strict=True):
        made: Mapping[int, Channels] = slopes(cast(Step, _OnLine(step, float(place))))
        for i, (piece,) in made.items():
            part = step.ops.Mul(piece, step.ops.scalar(float(weight)))
            found[i] = [step.ops.Add(found[i][0], part) if i in found else part]
    return found


class _OnLine:
    """A step whose carrying inputs lie between the reference and the sample."""

    def __init__(self, step: Step, place: float) -> None:
        self._step, self._place = step, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def condition(self, i: int) -> Value:
        """Value of input `i` at this place of the line."""
        step, ops = self._step, self._step.ops
        x = step.condition(i)
        if not step.moves(i):
            return x
        before = step.before(i)
        moved = ops.Add(before, ops.Mul(ops.Sub(x, before), ops.scalar(self._place)))
        return ops.Where(ops.IsInf(x), x, moved) if step.infinite(i) else moved

    value = condition

    def result(self, i: int = 0) -> Value:
        """What the node makes of these inputs."""
        node = self._step.node
        inputs = [self.condition(k) if name else None for k, name in enumerate(node.inputs)]
        return self._step.ops.rerun(node, inputs)[i]
