"""Functions of one input, element by element or along an axis: their slopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import CURVED, Pieces, PlannedNode, Reads, Step, Structure

Derivative = Callable[[Ops, Value, Value], Value]
"""`(ops, x, y) -> f'(x)`, where y = f(x); as the frameworks take it where there is none."""

Ratio = Callable[[Ops, Value], Value]
"""`(ops, x) -> f(x) / x`, where f(0) = 0 and that has a limit there."""

_MEET = 1e-3  # closer than that a difference of values is rounding
_NEAR = 1e-2  # below it the secant from 0 is the derivative half way: to x^2, and without rounding


@dataclass(frozen=True)
class Function(Structure):
    """y = f(x), element by element, perhaps with parameters; relevance passes unchanged.

    Attributes:
        derivative: its slope at a point.
        homogeneous: whether f(a x) = a f(x) for a > 0, so that the secant from 0 is the derivative.
        switches: whether it is max(0, x): its derivative is 1 where y is positive, else 0.
        ratio: of a function that is x times something that is never negative, such as Gelu: that,
            the secant from 0.
        parameters: `(ops, x, y, p) -> ` the slope in parameter p, by the input that it is; where
            a method holds what is no main operand, it is held.
    """

    derivative: Derivative
    homogeneous: bool = False
    switches: bool = False
    ratio: Ratio | None = None
    bounded: bool = False
    parameters: Mapping[int, Callable[[Ops, Value, Value, Value], Value]] = field(
        default_factory=dict
    )
    has_slopes: bool = True

    @property
    def broadcasts(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(self.parameters)

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        ops, (m,) = step.ops, step.r
        functions = step.method.functions
        if functions == "secant" and self.ratio is not None:
            text = times_ratio(self.ratio)
            key = f"{step.node.name}/ratio"
            return {0: [ops.times_ratio(key, text, step.condition(0), m, step.result)]}
        y = step.result()
        if functions == "derivative" or (functions == "secant" and self.homogeneous):
            if self.switches:
                of = partial(step.condition, 0)
                return {0: [ops.switch(y, m, bounded=step.bounded, of=of)]}
            key = f"{step.node.name}/derivative"
            slope = ops.pointwise(key, self._times, step.condition(0), y, m)
            return {0: [slope], **self._of_parameters(step)}
        x = step.condition(0)
        parameters = [
            step.condition(i) if step.node.inputs[i] else None
            for i in range(1, len(step.node.inputs))
        ]
        if step.method.functions == "rescale":
            between = secant_between(self._forward(step), self.derivative)
            between = switched_between if self.switches else between
            given = (x, y, step.before(0), step.result_before(), m, *parameters)
            return {0: [ops.apply(f"{step.node.name}/between", between, *given)]}

        key = f"{step.node.name}/secant"
        text = secant(self._forward(step), self.derivative)
        slope, at_zero = ops.apply(key, text, x, y, m, *parameters)
        step.book("constants", 0, ops.total(at_zero, step.sample_axis()))
        return {0: [slope]}

    def _times(self, e: Ops, x: Value, y: Value, m: Value) -> Value:
        return e.Mul(m, self.derivative(e, x, y))

    def _forward(self, step: Step) -> Callable[..., Value]:
        return lambda e, x, *parameters: e.rerun(step.node, [x, *parameters])[0]

    def _of_parameters(self, step: Step) -> Pieces:
        pieces = {}
        given = [i for i in self.parameters if i < len(step.node.inputs) and step.node.inputs[i]]
        for i in (i for i in given if step.carries(i) and not step.holds):
            slope = self.parameters[i]

            def text(e: Ops, x: Value, y: Value, p: Value, m: Value, slope: Any = slope) -> Value:
                return e.Mul(m, slope(e, x, y, p))

            key = f"{step.node.name}/parameter{i}"
            values = (step.condition(0), step.result(), step.condition(i), step.r[0])
            pieces[i] = [step.ops.apply(key, text, *values)]
        return pieces

    def slope_reads(self, node: PlannedNode) -> Reads:
        functions, others = node.method.functions, tuple(range(1, len(node.node.inputs)))
        if functions == "rescale":
            return Reads((0, *others), (0,), (), (0,), (0,))
        if functions == "secant" and not self.homogeneous:
            return Reads((0, *others), () if self.ratio else (0,))
        given = (i for i in self.parameters if i - 1 in range(len(others)))
        own = () if node.holds else tuple(filter(node.carries, given))
        first = () if self.switches and not own else (0,)
        return Reads((*first, *own), (0,), own)

    def leaves(self, step: PlannedNode) -> bool:
        return True


def times_ratio(ratio: Ratio) -> Callable[[Ops, Value, Value], Value]:
    """Text `(ops, x, m) -> m f(x) / x`."""
    return lambda e, x, m: e.Mul(m, ratio(e, x))


def times_derivative(derivative: Derivative) -> Callable[[Ops, Value, Value], Value]:
    """Text `(ops, x, m) -> m f'(x)` of a derivative that does not read f(x)."""
    return lambda e, x, m: e.Mul(m, derivative(e, x, None))


def switched_between(e: Ops, x: Value, y: Value, x0: Value, y0: Value, m: Value) -> Value:
    """The same of y = max(0, x), without a difference: m (y + y0) / (|x| + |x0|), 0 where both
    are 0."""
    size = e.Add(e.Abs(x), e.Max(e.Abs(x0), e.scalar(SMALLEST_MASS)))
    return e.Mul(m, e.Div(e.Add(y, y0), size))


def secant_between(forward: Callable[..., Value], derivative: Derivative) -> Callable[..., Value]:
    """Text `(ops, x, y, x0, y0, m, *parameters) -> m (y - y0) / (x - x0)` (DeepLIFT's rescale
    rule); where they meet, the derivative half way."""

    def text(
        e: Ops, x: Value, y: Value, x0: Value, y0: Value, m: Value, *parameters: Value
    ) -> Value:
        step = e.Sub(x, x0)
        near = e.Less(e.Abs(step), e.scalar(_MEET))
        half = e.Mul(e.Add(x, x0), e.scalar(0.5))
        middle = derivative(e, half, forward(e, half, *parameters))
        far = e.Div(e.Sub(y, y0), e.Where(near, e.scalar(1), step))
        return e.Mul(m, e.Where(near, middle, far))

    return text


def secant(
    forward: Callable[..., Value], derivative: Derivative
) -> Callable[..., tuple[Value, Value]]:
    """Text `(ops, x, y, m, *parameters) -> (m s, m f(0))` of the secant s = (f(x) - f(0)) / x.

    Near 0 it is the derivative half way; 0 where that is infinite, as the root's at 0, which
    contributes nothing. Where f(0) is infinite the derivative takes its place, and f(0) counts
    as 0.
    """

    def text(e: Ops, x: Value, y: Value, m: Value, *parameters: Value) -> tuple[Value, Value]:
        at_zero = forward(e, e.Mul(x, e.zero()), *parameters)
        finite = e.Less(e.Abs(at_zero), e.scalar(np.inf))
        at_zero = e.Where(finite, at_zero, e.zero())
        half = e.Mul(x, e.scalar(0.5))
        near = e.Less(e.Abs(x), e.scalar(_NEAR))
        middle = derivative(e, half, forward(e, half, *parameters))
        middle = e.Where(e.Less(e.Abs(middle), e.scalar(np.inf)), middle, e.zero())
        far = e.Div(e.Sub(y, at_zero), e.Where(near, e.scalar(1), x))
        slope = e.Where(finite, e.Where(near, middle, far), derivative(e, x, y))
        return e.Mul(m, slope), e.Mul(m, at_zero)

    return text


@dataclass(frozen=True)
class AlongAxis(Structure):
    """Softmax, or its logarithm, along axes; relevance passes unchanged.

    Attributes:
        axes: those along which numbers add up to 1; of all numbers together, not one by one.
    """

    axes: tuple[int, ...]
    logarithmic: bool = False
    has_slopes: bool = True
    bounded: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        if step.method.softmax == "held":
            return {}
        over = ints(*self.axes)

        def jacobian(e: Ops, y: Value, m: Value) -> Value:
            if self.logarithmic:
                return e.Sub(m, e.Mul(e.Exp(y), e.ReduceSum(m, over, keepdims=1)))
            return e.Mul(y, e.Sub(m, e.row_sums(m, y, over)))

        key = f"{step.node.name}/jacobian"
        return {0: [step.ops.apply(key, jacobian, step.result(), step.r[0])]}

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads(results=() if node.method.softmax == "held" else (0,))

    def bends(self, step: PlannedNode) -> int:
        return CURVED

    def leaves(self, step: PlannedNode) -> bool:
        return True


@dataclass(frozen=True)
class PiecewiseConstant(Structure):
    """A function that is flat wherever it has a slope (Round, Sign): relevance passes unchanged."""

    has_slopes: bool = True
    bounded: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        return {}

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads()

    def leaves(self, step: PlannedNode) -> bool:
        return True


@dataclass(frozen=True)
class Binned(PiecewiseConstant):
    """Numbers that tell where entries lie; every entry is sent the sum of what was made of it.

    There is no slope, and relevance that comes from what was looked up by them (`converts`) ends
    here where slopes are asked for.

    Attributes:
        lead: axes of the input that the output begins with; those behind them are of one entry.
    """

    lead: int = 1
    shapes: tuple[int, ...] = (0,)

    def propagate(self, step: Step) -> Pieces:
        if step.method.carrier == "slope" and step.method.conserved == "nothing":
            return {}
        ops, shape = step.ops, step.shape(0)
        rows = ops.Concat(ops.Slice(shape, ints(0), ints(self.lead)), ints(-1), axis=0)

        def back(r: Value) -> Value:
            sums = ops.ReduceSum(ops.Reshape(r, rows), ints(-1), keepdims=0)
            return ops.Reshape(sums, shape)

        return {0: [back(r) for r in step.r]}
