"""Normalisations: what is centred and divided by its own deviation, then scaled and shifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import (
    CURVED,
    Channels,
    Pieces,
    PlannedNode,
    Reads,
    Step,
    Structure,
)

SCALE, SHIFT = 1, 2


@dataclass(frozen=True)
class Normalisation(Structure):
    """y = (x - mean) / deviation * scale + shift; relevance passes unchanged.

    Attributes:
        grouped: `(ops, x) -> ` x laid so that the statistics go over `axes` of it.
        axes: of what is laid.
        centred: whether the mean is taken off.
        order: of the norm that divides: 2, where a mean of squares does, or 1.
        summed: whether the norm is of the sum, not of the mean.
        epsilon: added to the mean of squares.
        scale: `(step) -> ` the scale, input 1, broadcast against y; None where there is none.
        shift: `(step) -> ` the shift, input 2, broadcast against y.
    """

    grouped: Callable[[Ops, Value], Value]
    axes: tuple[int, ...]
    centred: bool = True
    order: int = 2
    summed: bool = False
    epsilon: float = 0.0
    scale: Callable[[Step], Value] | None = None
    shift: Callable[[Step], Value] | None = None
    has_slopes: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        ops, (m,) = step.ops, step.r
        pieces = self._of_parameters(step)
        if self.scale is not None:
            m = ops.Mul(m, self.scale(step))
            m = ops.Mul(m, ops.scalar(0.5)) if SCALE in pieces and self._shares(step) else m
        key, x = f"{step.node.name}/{'held' if step.holds else 'whole'}", step.condition(0)
        pieces[0] = [ops.apply(key, self._text(held=step.holds), x, m)]
        return pieces

    def slope_reads(self, node: PlannedNode) -> Reads:
        given = {SCALE: self.scale, SHIFT: self.shift}
        parameters = tuple(i for i, laid in given.items() if laid is not None)
        return Reads((0, *parameters), (), (0, *parameters) if parameters else ())

    def bends(self, step: PlannedNode) -> int:
        return CURVED

    def leaves(self, step: PlannedNode) -> bool:
        return not step.holds

    def _shares(self, step: Step) -> bool:
        return step.method.products == "shared"

    def _of_parameters(self, step: Step) -> dict[int, Channels]:
        """Slopes of a scale and a shift that are data; a constant shift is booked."""
        ops, (m,), pieces = step.ops, step.r, {}
        if self.shift is not None and step.carries(SHIFT):
            pieces[SHIFT] = [_laid_back(step, SHIFT, m, self.shift(step))]
        elif self.shift is not None:
            absorbed = ops.worth(self.shift(step), m)
            step.book("constants", 0, ops.total(absorbed, step.sample_axis()))
        if self.scale is not None and step.carries(SCALE) and not step.is_gate(SCALE):

            def text(e: Ops, x: Value, m: Value, part: Value) -> Value:
                centre, inverse, *_ = self._parts(e, x)
                return e.Mul(e.Mul(m, part), e.Reshape(e.Mul(centre, inverse), e.Shape(x)))

            part = ops.scalar(0.5 if self._shares(step) else 1.0)
            grown = ops.apply(f"{step.node.name}/scale", text, step.condition(0), m, part)
            pieces[SCALE] = [_laid_back(step, SCALE, grown, self.scale(step))]
        return pieces

    def _parts(self, e: Ops, x: Value) -> tuple[Value, Value, Value, Value]:
        """What is laid and centred, 1 / deviation, and how the deviation grows with the former, as
        what varies with it times one number of each statistic."""
        over = ints(*self.axes)
        laid = self.grouped(e, x)
        add = e.ReduceSum if self.summed else e.ReduceMean
        centre = e.Sub(laid, e.ReduceMean(laid, over, keepdims=1)) if self.centred else laid
        if self.order == 1:
            inverse = e.ratio(e.scalar(1), add(e.Abs(centre), over, keepdims=1))
            return centre, inverse, e.Sign(centre), inverse
        square = add(e.Mul(centre, centre), over, keepdims=1)
        deviation = e.Sqrt(e.Add(square, e.scalar(self.epsilon)))
        is_zero = self.epsilon <= SMALLEST_MASS  # where all of the data is
        inverse = e.ratio(e.scalar(1), deviation) if is_zero else e.Reciprocal(deviation)
        return centre, inverse, centre, e.Mul(inverse, inverse)

    def _text(self, *, held: bool) -> Callable[[Ops, Value, Value], Value]:
        over = ints(*self.axes)

        def text(e: Ops, x: Value, m: Value) -> Value:
            centre, inverse, varying, growth = self._parts(e, x)
            add = e.ReduceSum if self.summed else e.ReduceMean
            g = self.grouped(e, m)
            if not held:
                share = e.Mul(add(e.Mul(g, centre), over, keepdims=1), growth)
                g = e.Sub(g, e.Mul(varying, share))
            g = e.Mul(g, inverse)
            if self.centred:
                g = e.Sub(g, e.ReduceMean(g, over, keepdims=1))
            return e.Reshape(g, e.Shape(x))

        return text


def _laid_back(step: Step, i: int, m: Value, laid: Value) -> Value:
    """The slope of input `i`, which was `laid` to be broadcast against y, from that of y."""
    ops, shape = step.ops, step.shape(i)
    summed = ops.unbroadcast(m, ops.shape(laid))
    apart = ops.Reshape(summed, ops.Concat(shape, ints(-1), axis=0))
    return ops.ReduceSum(apart, ints(-1), keepdims=0)


@dataclass(frozen=True)
class LocalResponse(Structure):
    """y = x / (bias + alpha / size * sum of x^2 over neighbouring channels)^beta (LRN)."""

    size: int
    alpha: float
    beta: float
    bias: float
    has_slopes: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        key = f"{step.node.name}/{'held' if step.holds else 'whole'}"
        return {0: [step.ops.apply(key, self._text(held=step.holds), step.condition(0), step.r[0])]}

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads((0,))

    def bends(self, step: PlannedNode) -> int:
        return CURVED

    def leaves(self, step: PlannedNode) -> bool:
        return not step.holds

    def _text(self, *, held: bool) -> Callable[[Ops, Value, Value], Value]:
        before = (self.size - 1) // 2
        after = self.size - 1 - before

        def neighbours(e: Ops, x: Value, first: int, last: int) -> Value:
            flat = e.Reshape(x, e.Concat(e.Shape(x, end=2), ints(1, -1), axis=0))
            planes = e.Transpose(flat, perm=[0, 2, 1, 3])
            mean = e.AveragePool(
                planes, kernel_shape=[self.size, 1], pads=[first, 0, last, 0], count_include_pad=1
            )
            whole = e.Mul(mean, e.scalar(self.size))
            return e.Reshape(e.Transpose(whole, perm=[0, 2, 1, 3]), e.Shape(x))

        def text(e: Ops, x: Value, m: Value) -> Value:
            alpha = e.scalar(self.alpha / self.size)
            summed = neighbours(e, e.Mul(x, x), before, after)
            divisor = e.Add(e.scalar(self.bias), e.Mul(alpha, summed))
            g = e.Mul(m, e.Pow(divisor, e.scalar(-self.beta)))
            if held:
                return g
            share = neighbours(e, e.Div(e.Mul(g, x), divisor), after, before)
            whole = e.scalar(2 * self.alpha * self.beta / self.size)
            return e.Sub(g, e.Mul(whole, e.Mul(x, share)))

        return text
