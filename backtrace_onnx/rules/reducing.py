"""Reductions: sums and means share by contribution, extremes go to the winner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.arithmetic import Factors
from backtrace_onnx.structures.base import Nothing, Passes, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.winners import Winner

Axes = tuple[int, ...] | None
Inner = Callable[..., Value]


@dataclass(frozen=True)
class Over:
    """What a reduction goes over.

    Attributes:
        axes: () is none, None is all; unknown where they are `computed`.
        computed: whether the model computes them while it runs, as input 1.
        keepdims: whether they stay, with size 1.
        noop: whether computed axes that turn out to be none are none, not all.
    """

    axes: Axes
    computed: bool
    keepdims: bool
    noop: bool

    @property
    def inputs(self) -> tuple[int, ...]:
        """Input whose value says the axes."""
        return (1,) if self.computed else ()

    def reduce(self, e: Ops, op_type: str, x: Value, *axes: Value, keepdims: bool) -> Value:
        """x reduced by `op_type`; `axes` is given where they are computed."""
        how = {"keepdims": int(keepdims)}
        if axes:
            return e.op(op_type, (x, *axes), {**how, "noop_with_empty_axes": int(self.noop)})
        return e.op(op_type, (x,) if self.axes is None else (x, ints(*self.axes)), how)

    def kept(self, e: Ops, g: Value, shape: Value, *axes: Value) -> Value:
        """g with the reduced axes of `shape` put back with size 1."""
        if self.keepdims:
            return g
        if axes or self.axes is None:
            return e.Reshape(g, self.kept_shape(e, shape, *axes))
        return e.Unsqueeze(g, ints(*self.axes))

    def kept_shape(self, e: Ops, shape: Value, *axes: Value) -> Value:
        """`shape` with size 1 along the reduced axes."""
        ones = e.Expand(ints(1), e.Shape(shape))
        if not axes and self.axes is None:
            return ones
        over = axes[0] if axes else ints(*(self.axes or ()))
        kept = e.ScatterElements(shape, over, e.Expand(ints(1), e.Shape(over)), axis=0)
        if not axes or self.noop:
            return kept
        return e.Where(e.Equal(e.Size(over), np.int64(0)), ones, kept)


def _over(op: Op) -> Over:
    """Which axes are reduced, and how the result is laid out."""
    computed = op.has(1) and op.constant(1) is None
    axes = None if computed else op.axes(())
    noop = bool(op.attribute("noop_with_empty_axes", 0))
    if not axes and not noop:
        axes = None
    return Over(axes, computed, bool(op.attribute("keepdims", 1)), noop)


def _unreduced(op: Op) -> Structure | None:
    """What the operator is where it reduces nothing that carries relevance, or over no axes."""
    if not op.output_type().is_float or not op.carries(0):
        return Nothing()
    return Passes() if _over(op).axes == () else None


def _sum(op: Op, inner: Inner | None = None, **how: Any) -> Structure:
    """A sum of `inner` of the elements."""
    return _reduced(op, "ReduceSum", _back, inner, **how)


def _reduced(
    op: Op, op_type: str, back: Callable[..., Value], inner: Inner | None = None, **how: Any
) -> Structure:
    """A linear reduction `op_type` of inner(x)."""
    over = _over(op)

    def forward(e: Ops, x: Value, *axes: Value) -> Value:
        return over.reduce(e, op_type, x, *axes, keepdims=over.keepdims)

    def adjoint(
        e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value, *axes: Value
    ) -> Value:
        return back(e, over.kept(e, g, shape, *axes), shape)

    return _unreduced(op) or Linear(
        forward=forward, adjoint=adjoint, factors=(0,), inner=inner, steering=over.inputs, **how
    )


def _back(e: Ops, g: Value, shape: Value) -> Value:
    """Every element of a sum gets the coefficient of its sum."""
    return e.Expand(g, shape)


def _mean_back(e: Ops, g: Value, shape: Value) -> Value:
    """Every element of a mean gets the coefficient of its mean, divided by their number."""
    return e.Expand(e.Div(g, _count(e, g, shape)), shape)


def _count(e: Ops, g: Value, shape: Value) -> Value:
    """How many elements each of g was made from."""
    made = e.ReduceProd(e.Shape(g), keepdims=0)
    return e.Cast(e.Div(e.ReduceProd(shape, keepdims=0), made), to=e.float_type)


@rule("ReduceSum")
def reduce_sum(op: Op) -> Structure:
    """Shared by contribution among the elements that are summed."""
    return _sum(op)


@rule("ReduceLogSum")
def reduce_log_sum(op: Op) -> Structure:
    """Shared by contribution to the sum."""
    return _sum(op, chain=lambda e, x, y, m, back: back(e.Mul(m, e.Exp(e.Neg(y)))), degree=None)


@rule("ReduceMean")
def reduce_mean(op: Op) -> Structure:
    """Shared by contribution among the elements that are averaged."""
    return _reduced(op, "ReduceMean", _mean_back)


@rule("ReduceL1")
def reduce_l1(op: Op) -> Structure:
    """Shared by |x| among the elements."""
    return _sum(
        op, lambda e, x, *axes: e.Abs(x), chain=lambda e, x, y, m, back: e.Mul(e.Sign(x), back(m))
    )


def _square(e: Ops, x: Value, *axes: Value) -> Value:
    """x^2."""
    return e.Mul(x, x)


@rule("ReduceL2")
def reduce_l2(op: Op) -> Structure:
    """Shared by x^2 among the elements."""

    def chain(e: Ops, x: Value, y: Value, m: Value, back: Callable[..., Value]) -> Value:
        return e.Mul(x, back(e.ratio(m, y)))

    return _sum(op, _square, chain=chain)


@rule("ReduceSumSquare")
def reduce_sum_square(op: Op) -> Structure:
    """Shared by x^2."""
    double = 2.0
    return _sum(
        op,
        _square,
        chain=lambda e, x, y, m, back: e.Mul(e.Mul(x, e.scalar(double)), back(m)),
        degree=2,
    )


@rule("ReduceLogSumExp")
def reduce_log_sum_exp(op: Op) -> Structure:
    """Shared by exp(x) among the elements, relative to the largest so that none overflows."""
    over = _over(op)

    def relative(e: Ops, x: Value, *axes: Value) -> Value:
        top = over.reduce(e, "ReduceMax", x, *axes, keepdims=True)
        return e.Exp(e.Sub(x, e.Max(top, e.scalar(np.finfo(e.dtype).min))))

    def chain(e: Ops, x: Value, y: Value, m: Value, back: Callable[..., Value]) -> Value:
        return e.Mul(e.Exp(e.Sub(x, back(y))), back(m))

    return _sum(op, relative, chain=chain, degree=None)


@rule("ReduceProd")
def reduce_product(op: Op) -> Structure:
    """Every factor of a product gets an equal part."""
    over = _over(op)

    def back(step: Step, r: Value) -> Value:
        shape, axes = step.shape(0), [step.condition(i) for i in over.inputs]
        return _mean_back(step.ops, over.kept(step.ops, r, shape, *axes), shape)

    def spread(step: Step, g: Value) -> Value:
        shape, axes = step.shape(0), [step.condition(i) for i in over.inputs]
        return step.ops.Expand(over.kept(step.ops, g, shape, *axes), shape)

    return _unreduced(op) or Factors(back, shapes=(0,), values=over.inputs, spread=spread)


@rule("ReduceMax", "ReduceMin")
def reduce_extreme(op: Op) -> Structure:
    """The largest or smallest element takes all; ties share equally."""
    over = _over(op)

    def kept(step: Step) -> Value:
        axes = [step.condition(i) for i in over.inputs]
        return over.kept_shape(step.ops, step.shape(0), *axes)

    values = (0, *over.inputs)
    known, lowest = op.type(0).shape or (), op.node.op_type == "ReduceMin"
    how = (over.axes, None if over.keepdims else kept, values)
    return _unreduced(op) or Winner(*how, shape=known, lowest=lowest)


@rule("CumSum")
def cumulated_sum(op: Op) -> Structure:
    """Each sum is shared by contribution among the elements in it."""
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
    """Every factor of a product gets an equal part; the 1 before an exclusive one is a constant."""
    if not op.output_type().is_float:
        return Nothing()
    exclusive, reverse = int(op.attribute("exclusive", 0)), int(op.attribute("reverse", 0))

    def back(step: Step, r: Value) -> Value:
        ops, axis, one = step.ops, step.condition(1), step.ops.scalar(1)
        ones = ops.Expand(one, step.shape(0))
        count = ops.CumSum(ones, axis, exclusive=exclusive, reverse=reverse)
        share = ops.Div(r, ops.Max(count, one))
        return ops.CumSum(share, axis, exclusive=exclusive, reverse=1 - reverse)

    def spread(step: Step, g: Value) -> Value:
        return step.ops.CumSum(g, step.condition(1), exclusive=exclusive, reverse=1 - reverse)

    return Factors(back, shapes=(0,), values=(1,), fills=bool(exclusive), spread=spread)


@rule("GlobalMaxPool")
def global_max_pool(op: Op) -> Structure:
    """The largest element of each channel takes all; ties share equally."""
    return Winner(tuple(range(2, op.rank(0))), shape=op.type(0).shape or ())


@rule("GlobalAveragePool")
def global_average_pool(op: Op) -> Structure:
    """Shared by contribution among the elements of each channel."""
    axes, known = ints(*range(2, op.rank(0))), op.type(0).shape or ()
    return Linear(
        forward=lambda e, x: e.ReduceMean(x, axes, keepdims=1),
        adjoint=lambda e, k, g, factors, shape: e.in_blocks(_mean_back(e, g, shape), known),
        factors=(0,),
    )
