"""Reductions: sums and means share by contribution, extremes go to the winner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.registry import Op, rule
from backtrace_onnx.structures.base import Nothing, Passes, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Adjoint, Winner

Axes = tuple[int, ...] | None
Inner = Callable[[Ops, Value], Value]


def _axes(op: Op) -> Axes:
    """Axes reduced over: () is none, None is all."""
    axes = op.axes(())
    if axes:
        return axes
    return () if op.attribute("noop_with_empty_axes", 0) else None


def _sum(op: Op, inner: Inner | None = None) -> Structure:
    return _reduced(op, "ReduceSum", _back, inner)


def _reduced(
    op: Op, op_type: str, back: Callable[..., Value], inner: Inner | None = None
) -> Structure:
    """A linear reduction `op_type` of inner(x)."""
    axes, keepdims = _axes(op), bool(op.attribute("keepdims", 1))
    if not op.output_type().is_float:
        return Nothing()
    if axes == ():
        return Passes()

    def forward(e: Ops, x: Value) -> Value:
        return e.op(op_type, (x, *_over(axes)), {"keepdims": int(keepdims)})

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        return back(e, _kept(e, g, shape, axes, keepdims), shape)

    return Linear(forward=forward, adjoint=adjoint, factors=(0,), inner=inner)


def _over(axes: Axes) -> tuple[Value, ...]:
    """The axes as an operator's second input; all axes where it is left out."""
    return () if axes is None else (ints(*axes),)


def _back(e: Ops, g: Value, shape: Value) -> Value:
    return e.Expand(g, shape)


def _mean_back(e: Ops, g: Value, shape: Value) -> Value:
    return e.Expand(e.Div(g, _count(e, g, shape)), shape)


def _count(e: Ops, g: Value, shape: Value) -> Value:
    """How many elements each of g was made from."""
    made = e.ReduceProd(e.Shape(g), keepdims=0)
    return e.Cast(e.Div(e.ReduceProd(shape, keepdims=0), made), to=e.float_type)


def _kept(e: Ops, g: Value, shape: Value, axes: Axes, keepdims: bool) -> Value:
    """g with the reduced axes put back with size 1."""
    if keepdims:
        return g
    if axes is None:
        return e.Reshape(g, e.Expand(ints(1), e.Shape(shape)))
    return e.Unsqueeze(g, ints(*axes))


@rule("ReduceSum", "ReduceLogSum")
def reduce_sum(op: Op) -> Structure:
    """Linear: shared by contribution."""
    return _sum(op)


@rule("ReduceMean")
def reduce_mean(op: Op) -> Structure:
    """Linear: shared by contribution."""
    return _reduced(op, "ReduceMean", _mean_back)


@rule("ReduceL1")
def reduce_l1(op: Op) -> Structure:
    """Shared by |x|."""
    return _sum(op, lambda e, x: e.Abs(x))


@rule("ReduceL2", "ReduceSumSquare")
def reduce_l2(op: Op) -> Structure:
    """Shared by x^2."""
    return _sum(op, lambda e, x: e.Mul(x, x))


@rule("ReduceLogSumExp")
def reduce_log_sum_exp(op: Op) -> Structure:
    """Shared by exp(x), which is taken relative to the largest."""
    axes = _axes(op)

    def relative(e: Ops, x: Value) -> Value:
        top = e.Max(e.ReduceMax(x, *_over(axes), keepdims=1), e.scalar(np.finfo(e.dtype).min))
        return e.Exp(e.Sub(x, top))

    return _sum(op, relative)


@rule("ReduceProd")
def reduce_product(op: Op) -> Structure:
    """Every factor of a product shares alike."""
    axes, keepdims = _axes(op), bool(op.attribute("keepdims", 1))
    if not op.output_type().is_float:
        return Nothing()
    if axes == ():
        return Passes()

    def back(step: Step, r: Value) -> Value:
        shape = step.shape(0)
        return _mean_back(step.ops, _kept(step.ops, r, shape, axes, keepdims), shape)

    return Adjoint(back, shapes=(0,))


@rule("ReduceMax", "ReduceMin")
def reduce_extreme(op: Op) -> Structure:
    """To the winner; ties share alike."""
    if not op.output_type().is_float:
        return Nothing()
    axes = _axes(op)
    if axes == ():
        return Passes()
    return Winner(lambda step: axes, keepdims=bool(op.attribute("keepdims", 1)))


@rule("CumSum")
def cumulated_sum(op: Op) -> Structure:
    """Linear: shared by contribution."""
    if not op.output_type().is_float:
        return Nothing()
    exclusive, reverse = int(op.attribute("exclusive", 0)), int(op.attribute("reverse", 0))

    def forward(e: Ops, x: Value, axis: Value) -> Value:
        return e.CumSum(x, axis, exclusive=exclusive, reverse=reverse)

    def adjoint(
        e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value, axis: Value
    ) -> Value:
        return e.CumSum(g, axis, exclusive=exclusive, reverse=1 - reverse)

    return Linear(forward=forward, adjoint=adjoint, factors=(0,), steering=(1,))


@rule("CumProd")
def cumulated_product(op: Op) -> Structure:
    """Every factor of a product shares alike; the 1 that begins an exclusive one is a constant."""
    if not op.output_type().is_float:
        return Nothing()
    exclusive, reverse = int(op.attribute("exclusive", 0)), int(op.attribute("reverse", 0))

    def back(step: Step, r: Value) -> Value:
        ops, axis, one = step.ops, step.value(1), step.ops.scalar(1)
        ones = ops.Expand(one, step.shape(0))
        count = ops.CumSum(ones, axis, exclusive=exclusive, reverse=reverse)
        share = ops.Div(r, ops.Max(count, one))
        return ops.CumSum(share, axis, exclusive=exclusive, reverse=1 - reverse)

    return Adjoint(back, shapes=(0,), values=(1,), fills=bool(exclusive))


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
        forward=lambda e, x: e.ReduceMean(x, axes, keepdims=1),
        adjoint=lambda e, k, g, factors, shape: _mean_back(e, g, shape),
        factors=(0,),
    )
