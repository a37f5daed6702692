"""Pools: the mean is linear, the maximum goes to the winner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.ops.windows import Window
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Adjoint
from backtrace_onnx.structures.winners import WindowWinner


def _window(op: Op) -> Window:
    """The windows that the node slides."""
    return Window(op, op.attribute("kernel_shape"))


@rule("MaxPool")
def max_pool(op: Op) -> Structure:
    """The largest element of each window takes all, ties share equally; padding never wins."""
    return WindowWinner(_window(op))


@rule("MaxRoiPool")
def max_roi_pool(op: Op) -> Structure:
    """The largest element of each bin takes all, ties share equally; regions are gates."""
    name, scale = op.node.name, float(op.attribute("spatial_scale", 1.0))
    if not op.carries(0):
        raise RuleError(f"MaxRoiPool node {name!r}: only its regions depend on an input")

    def bins(step: Step, axis: int) -> Value:
        count = op.attribute("pooled_shape")[axis]

        def text(e: Ops, regions: Value, shape: Value) -> Value:
            first, last = (e.Slice(regions, ints(k), ints(k + 1), ints(1)) for k in corners)
            size = e.Slice(shape, ints(2 + axis), ints(3 + axis))
            return _bins(e, first, last, size, scale, count)

        corners = (2 - axis, 4 - axis)
        return step.ops.apply(f"{name}/bins{axis}", text, step.condition(1), step.shape(0))

    def back(step: Step, r: Value) -> Value:
        batch = step.ops.Cast(step.ops.Gather(step.condition(1), np.int64(0), axis=1), to=7)
        return step.ops.split_regions(step.condition(0), r, batch, bins(step, 0), bins(step, 1))

    return Adjoint(back, shapes=(0,), values=(0, 1), fills=True, held=(1,))


def _bins(e: Ops, first: Value, last: Value, size: Value, scale: float, count: int) -> Value:
    """int64[2, regions, count]: first and last + 1 of every bin, cut to 0 ... size."""
    one, n = e.scalar(1), np.arange(count, dtype=e.dtype)
    begin, end = (_rounded(e, e.Mul(x, e.scalar(scale))) for x in (first, last))
    step = e.Div(e.Max(e.Add(e.Sub(end, begin), one), one), e.scalar(count))
    low = e.Add(begin, e.Floor(e.Mul(n, step)))
    high = e.Add(begin, e.Ceil(e.Mul(n + one, step)))
    both = e.Concat(e.Unsqueeze(low, ints(0)), e.Unsqueeze(high, ints(0)), axis=0)
    return e.Min(e.Max(e.Cast(both, to=7), ints(0)), size)


def _rounded(e: Ops, x: Value) -> Value:
    """To the nearest whole number, halves away from zero."""
    return e.Mul(e.Sign(x), e.Floor(e.Add(e.Abs(x), e.scalar(0.5))))


@rule("AveragePool")
def average_pool(op: Op) -> Structure:
    """Shared by contribution among the elements of each window."""
    window, known = _window(op), op.type(0).shape or ()
    attributes = dict(
        window.attributes,
        kernel_shape=window.kernel,
        ceil_mode=op.attribute("ceil_mode", 0),
        count_include_pad=op.attribute("count_include_pad", 0),
    )

    def forward(e: Ops, x: Value) -> Value:
        return e.AveragePool(x, **attributes)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        ones = e.Expand(e.scalar(1), e.Concat(ints(1, 1), window.size(e, shape), axis=0))
        counted = _summed(e, ones, shape, e.Shape(g), window)
        # What a window divides by depends on padding and rounding; the operator itself tells.
        weight = e.Div(e.AveragePool(ones, **attributes), e.Max(counted, e.scalar(1)))
        return e.in_blocks(_spread(e, e.Mul(g, weight), shape, window), known)

    return Linear(forward=forward, adjoint=adjoint, factors=(0,))


@rule("LpPool")
def lp_pool(op: Op) -> Structure:
    """Shared by |x|^p among the elements of each window."""
    window = _window(op)
    attributes = dict(window.attributes, kernel_shape=window.kernel, p=1)
    if op.attribute("ceil_mode", 0):
        attributes["ceil_mode"] = 1

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        return _spread(e, g, shape, window)

    return Linear(
        forward=lambda e, x: e.LpPool(x, **attributes),
        adjoint=adjoint,
        factors=(0,),
        inner=_power(op.attribute("p", 2)),
        chain=_norm(op.attribute("p", 2)),
    )


@rule("GlobalLpPool")
def global_lp_pool(op: Op) -> Structure:
    """Shared by |x|^p among the elements of each channel."""
    axes = ints(*range(2, op.rank(0)))
    return Linear(
        forward=lambda e, x: e.ReduceSum(x, axes, keepdims=1),
        adjoint=lambda e, k, g, factors, shape: e.Expand(g, shape),
        factors=(0,),
        inner=_power(op.attribute("p", 2)),
        chain=_norm(op.attribute("p", 2)),
    )


@rule("MaxUnpool")
def max_unpool(op: Op) -> Structure:
    """Relevance goes from the places back to the elements that were put there."""
    return Adjoint(
        lambda step, r: step.ops.Reshape(
            step.ops.Gather(step.ops.Reshape(r, ints(-1)), step.condition(1)), step.shape(0)
        ),
        shapes=(0,),
        values=(1,),
        fills=True,
    )


def _power(p: float) -> Callable[[Ops, Value], Value]:
    """|x|^p."""
    return lambda e, x: e.Pow(e.Abs(x), e.scalar(p))


def _norm(p: float) -> Callable[..., Value]:
    """The slope of (sum |x|^p)^(1/p): sign(x) |x|^(p - 1) y^(1 - p)."""

    def chain(e: Ops, x: Value, y: Value, m: Value, back: Callable[..., Value]) -> Value:
        none = e.Equal(y, e.zero())
        root = e.Pow(e.Where(none, e.scalar(1), y), e.scalar(1 - p))
        grown = e.Mul(e.Sign(x), e.Pow(e.Abs(x), e.scalar(p - 1)))
        return e.Mul(grown, back(e.Where(none, e.zero(), e.Mul(m, root))))

    return chain


def _summed(e: Ops, x: Value, shape: Value, made: Value, window: Window) -> Value:
    """Sum of every window of x[., 1, *spatial]."""
    before, after = window.exact_pads(e, shape, made)
    kernel = np.ones((1, 1, *window.kernel), e.dtype)
    return e.Conv(window.padded(e, x, before, after, e.zero()), kernel, **window.steps)


def _spread(e: Ops, g: Value, shape: Value, window: Window) -> Value:
    """Adjoint of summing windows: g to every place its window covered."""
    before, after = window.exact_pads(e, shape, e.Shape(g))
    kernel = np.ones((1, 1, *window.kernel), e.dtype)
    full = e.ConvTranspose(window.each_channel(e, g), kernel, **window.steps)
    return e.Reshape(window.cut(e, full, before, after), shape)
