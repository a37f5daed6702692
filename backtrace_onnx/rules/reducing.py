"""Reductions: sums and means share by contribution, extremes go to the winner."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.registry import Op, rule
from backtrace_onnx.structures.base import Halves, Nothing, Passes, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Adjoint, Winner


def _axes(op: Op) -> tuple[int, ...] | None:
    """Axes reduced over: () is none, None is all."""
    axes = op.axes(())
    if axes:
        return axes
    return () if op.attribute("noop_with_empty_axes", 0) else None


def _sum(op: Op, inner: object = None) -> Structure:
    axes, keepdims = _axes(op), bool(op.attribute("keepdims", 1))
    if axes == ():
        return Passes()

    def forward(e: Ops, x: Value) -> Value:
        over = () if axes is None else (ints(*axes),)
        return e.ReduceSum(x, *over, keepdims=int(keepdims))

    def adjoint(e: Ops, k: int, g: Value, factors: object, shape: Value) -> Value:
        return e.Expand(_kept(e, g, shape, axes, keepdims), shape)

    return Linear(forward=forward, adjoint=adjoint, factors=(0,), inner=inner)  # type: ignore[arg-type]


def _kept(e: Ops, g: Value, shape: Value, axes: tuple[int, ...] | None, keepdims: bool) -> Value:
    """g with the reduced axes put back with size 1."""
    if keepdims:
        return g
    if axes is None:
        return e.Reshape(g, e.Expand(ints(1), e.Shape(shape)))
    return e.Unsqueeze(g, ints(*sorted(axes)) if min(axes) >= 0 else ints(*axes))


@rule("ReduceSum", "ReduceMean")
def reduce_sum(op: Op) -> Structure:
    """Linear: shared by contribution."""
    return _sum(op) if op.output_type().is_float else Nothing()


@rule("ReduceL1", "ReduceLogSum")
def reduce_l1(op: Op) -> Structure:
    """Shared by |x|."""
    return _sum(op, lambda e, x: e.Abs(x))


@rule("ReduceL2", "ReduceSumSquare")
def reduce_l2(op: Op) -> Structure:
    """Shared by x^2."""
    return _sum(op, lambda e, x: e.Mul(x, x))


@rule("ReduceMax", "ReduceMin")
def reduce_extreme(op: Op) -> Structure:
    """To the winner; ties share alike."""
    if not op.output_type().is_float:
        return Nothing()
    axes = _axes(op)
    if axes == ():
        return Passes()
    return Winner(lambda step: axes, keepdims=bool(op.attribute("keepdims", 1)))


@rule("GlobalMaxPool")
def global_max_pool(op: Op) -> Structure:
    """To the winner; ties share alike."""
    axes = tuple(range(2, op.rank(0)))
    return Winner(lambda step: axes)


@rule("GlobalAveragePool")
def global_average_pool(op: Op) -> Structure:
    """Linear: shared by contribution."""
    axes = ints(*range(2, op.rank(0)))
    return Linear(
        forward=lambda e, x: e.ReduceSum(x, axes, keepdims=1),
        adjoint=lambda e, k, g, factors, shape: e.Expand(g, shape),
        factors=(0,),
    )


__all__ = ["Adjoint", "Halves", "Step", "np"]
