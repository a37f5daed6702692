"""Pools: the mean is linear, the maximum goes to the winner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.registry import Op, rule
from backtrace_onnx.rules.window import Window
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Adjoint, WindowWinner


def _window(op: Op) -> Window:
    return Window(op, op.attribute("kernel_shape"))


@rule("MaxPool")
def max_pool(op: Op) -> Structure:
    """To the winner of each window; ties share alike; padding never wins."""
    return WindowWinner(_window(op))


@rule("AveragePool")
def average_pool(op: Op) -> Structure:
    """Linear: shared by contribution within each window."""
    window = _window(op)
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
        weight = e.Div(e.AveragePool(ones, **attributes), e.Max(counted, e.scalar(1)))
        return _spread(e, e.Mul(g, weight), shape, window)

    return Linear(forward=forward, adjoint=adjoint, factors=(0,))


@rule("LpPool")
def lp_pool(op: Op) -> Structure:
    """Shared by |x|^p within each window."""
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
    )


@rule("GlobalLpPool")
def global_lp_pool(op: Op) -> Structure:
    """Shared by |x|^p."""
    axes = ints(*range(2, op.rank(0)))
    return Linear(
        forward=lambda e, x: e.ReduceSum(x, axes, keepdims=1),
        adjoint=lambda e, k, g, factors, shape: e.Expand(g, shape),
        factors=(0,),
        inner=_power(op.attribute("p", 2)),
    )


@rule("MaxUnpool")
def max_unpool(op: Op) -> Structure:
    """Follows the elements back to the places they were put from."""
    return Adjoint(
        lambda step, r: step.ops.Reshape(
            step.ops.Gather(step.ops.Reshape(r, ints(-1)), step.value(1)), step.shape(0)
        ),
        shapes=(0,),
        values=(1,),
        fills=True,
    )


def _power(p: float) -> Callable[[Ops, Value], Value]:
    return lambda e, x: e.Pow(e.Abs(x), e.scalar(p))


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
