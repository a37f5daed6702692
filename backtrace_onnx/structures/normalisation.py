"""Normalisations: what is centred and divided by its own deviation, then scaled and shifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import CURVED, Pieces, Step, Structure


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
        scale: `(ops, step) -> ` the scale, broadcast against y; None where there is none.
        shift: `(ops, step) -> ` the shift, broadcast against y.
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
        if self.shift is not None:
            shifted = ops.Mul(m, self.shift(step))
            step.book("constants", 0, ops.total(shifted, step.sample_axis()))
        if self.scale is not None:
            m = ops.Mul(m, self.scale(step))
        key = f"{step.node.name}/{'held' if step.holds else 'whole'}"
        return {0: [ops.apply(key, self._text(held=step.holds), step.value(0), m)]}

    def bends(self, step: Step) -> int:
        return CURVED

    def leaves(self, step: Step) -> bool:
        return not step.holds

    def _text(self, *, held: bool) -> Callable[[Ops, Value, Value], Value]:
        over = ints(*self.axes)

        def text(e: Ops, x: Value, m: Value) -> Value:
            laid, g = self.grouped(e, x), self.grouped(e, m)
            add = e.ReduceSum if self.summed else e.ReduceMean
            centre = e.Sub(laid, e.ReduceMean(laid, over, keepdims=1)) if self.centred else laid
            if self.order == 1:
                inverse = e.Reciprocal(add(e.Abs(centre), over, keepdims=1))
                grown = e.Mul(e.Sign(centre), inverse)
            else:
                square = add(e.Mul(centre, centre), over, keepdims=1)
                inverse = e.Reciprocal(e.Sqrt(e.Add(square, e.scalar(self.epsilon))))
                grown = e.Mul(centre, e.Mul(inverse, inverse))
            if not held:
                g = e.Sub(g, e.Mul(grown, add(e.Mul(g, centre), over, keepdims=1)))
            g = e.Mul(g, inverse)
            if self.centred:
                g = e.Sub(g, e.ReduceMean(g, over, keepdims=1))
            return e.Reshape(g, e.Shape(x))

        return text


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
        return {0: [step.ops.apply(key, self._text(held=step.holds), step.value(0), step.r[0])]}

    def bends(self, step: Step) -> int:
        return CURVED

    def leaves(self, step: Step) -> bool:
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
