"""Products, quotients and powers of tensors that may both carry data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import CURVED, Halves, Pieces, PlannedNode, Reads, Step
from backtrace_onnx.structures.moves import Adjoint


@dataclass(frozen=True)
class Product(Halves):
    """y = a b: its carrying operands share alike; one that is a gate takes none."""

    has_slopes: bool = True
    bounded: bool = True
    affine: bool = True
    conserves: bool = True

    def slopes(self, step: Step) -> Pieces:
        takers = self.takers(step)
        (m,) = step.r
        part = 1.0 if step.method.products == "whole" else 1 / len(takers)

        def text(e: Ops, m: Value, *others: Value) -> Value:
            for other in others:
                m = e.Mul(m, other)
            return e.Mul(m, e.scalar(part)) if part != 1 else m

        return {
            i: [
                step.ops.apply(
                    f"{step.node.name}/{step.method.products}/slope{i}",
                    text,
                    m,
                    *(step.condition(j) for j in self.operands if j != i),
                )
            ]
            for i in takers
        }

    def slope_reads(self, node: PlannedNode) -> Reads:
        takers = self.takers(node)
        others = tuple(j for j in self.operands if any(i != j for i in takers))
        return Reads(others, (), self.shapes)

    def bends(self, step: PlannedNode) -> int:
        return len(self.takers(step)) - 1  # of two factors the mean slope is that half way

    def leaves(self, step: PlannedNode) -> bool:
        return step.method.products == "whole" and len(self.takers(step)) > 1


@dataclass(frozen=True)
class Quotient(Halves):
    """y = a / b: the numerator takes all; a divisor that is data is held, or differentiated."""

    broadcasts: tuple[int, ...] = (0, 1)
    has_slopes: bool = True
    affine: bool = True
    conserves: bool = True

    def slopes(self, step: Step) -> Pieces:
        (m,) = step.r
        ops, name = step.ops, step.node.name
        pieces: dict[int, list[Value]] = {}
        if step.method.compares and step.carries(1):
            return self._compared(step)
        if step.carries(0):
            pieces[0] = [ops.Div(m, step.condition(1))]
        if self._differentiates(step):

            def text(e: Ops, m: Value, y: Value, b: Value) -> Value:
                return e.Neg(e.Mul(m, e.Div(y, b)))

            pieces[1] = [ops.apply(f"{name}/slope1", text, m, step.result(), step.condition(1))]
        return pieces

    def _compared(self, step: Step) -> Pieces:
        """As the product of a and 1 / b: each by the mean of the other, 1 / b by its secant."""

        def text(e: Ops, m: Value, a: Value, b: Value, a0: Value, b0: Value) -> tuple[Value, Value]:
            half = e.Mul(m, e.scalar(0.5))
            to_a = e.Mul(half, e.Add(e.Reciprocal(b), e.Reciprocal(b0)))
            return to_a, e.Neg(e.Div(e.Mul(half, e.Add(a, a0)), e.Mul(b, b0)))

        values = [step.condition(0), step.condition(1)]
        before = [step.before(i) if step.carries(i) else x for i, x in enumerate(values)]
        made = step.ops.apply(f"{step.node.name}/between", text, step.r[0], *values, *before)
        return {i: [piece] for i, piece in enumerate(made) if step.carries(i)}

    def slope_reads(self, node: PlannedNode) -> Reads:
        if node.method.compares and node.carries(1):
            return Reads((0, 1), (), self.shapes, before=tuple(filter(node.carries, (0, 1))))
        return Reads((1,), (0,) if self._differentiates(node) else (), self.shapes)

    def _differentiates(self, node: PlannedNode) -> bool:
        """Whether the divisor has a slope."""
        return node.carries(1) and not node.is_gate(1) and not (node.holds and node.carries(0))

    def leaves(self, step: PlannedNode) -> bool:
        return step.carries(1)


@dataclass(frozen=True)
class Remainder(Halves):
    """y = a mod b: the dividend takes all, and its slope is 1; that of b is (y - a) / b."""

    operands: tuple[int, ...] = (0,)
    broadcasts: tuple[int, ...] = (0, 1)
    has_slopes: bool = True

    def slopes(self, step: Step) -> Pieces:
        pieces = {0: step.r} if step.carries(0) else {}
        if self._differentiates(step):

            def text(e: Ops, m: Value, a: Value, b: Value, y: Value) -> Value:
                return e.Mul(m, e.Div(e.Sub(y, a), b))

            values = (step.condition(0), step.condition(1), step.result())
            pieces[1] = [step.ops.apply(f"{step.node.name}/slope1", text, step.r[0], *values)]
        return pieces

    def slope_reads(self, node: PlannedNode) -> Reads:
        if not self._differentiates(node):
            return Reads(shapes=self.shapes)
        return Reads((0, 1), (0,), (0, 1))

    def _differentiates(self, node: PlannedNode) -> bool:
        """Whether the divisor has a slope."""
        return node.carries(1) and not node.is_gate(1) and not node.holds

    def leaves(self, step: PlannedNode) -> bool:
        return True


@dataclass(frozen=True)
class Power(Halves):
    """y = a^b: the base takes all; an exponent that is data is held, or differentiated."""

    broadcasts: tuple[int, ...] = (0, 1)
    has_slopes: bool = True

    def slopes(self, step: Step) -> Pieces:
        (m,) = step.r
        ops, name = step.ops, step.node.name
        a, b, y = step.condition(0), step.condition(1), step.result()
        pieces: dict[int, list[Value]] = {}
        if step.carries(0):

            def base(e: Ops, m: Value, a: Value, b: Value, y: Value) -> Value:
                slope = e.Mul(b, e.Pow(a, e.Sub(b, e.scalar(1))))
                if step.method.functions == "secant":  # from 0, where the power of 0 is finite
                    slope = e.Where(e.Greater(b, e.zero()), e.ratio(y, a), slope)
                return e.Mul(m, slope)

            pieces[0] = [
                ops.apply(
                    f"{name}/{step.method.functions}/slope0",
                    base,
                    m,
                    a,
                    ops.Cast(b, to=ops.float_type),
                    y,
                )
            ]
        if step.carries(1) and not step.is_gate(1) and not step.holds:

            def exponent(e: Ops, m: Value, a: Value, y: Value) -> Value:
                positive = e.Greater(a, e.zero())
                log = e.Log(e.Where(positive, a, e.scalar(1)))
                return e.Mul(m, e.Mul(y, log))

            pieces[1] = [ops.apply(f"{name}/slope1", exponent, m, a, y)]
        return pieces

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads((0, 1), (0,), self.shapes)

    def bends(self, step: PlannedNode) -> int:
        return CURVED

    def leaves(self, step: PlannedNode) -> bool:
        return True


@dataclass(frozen=True)
class Factors(Adjoint):
    """Products of many entries of one tensor; every factor shares alike.

    Attributes:
        spread: `(step, g) -> ` the sum of g over the products that an entry is a factor of.
    """

    spread: Callable[[Step, Value], Value] = lambda step, g: g

    def slopes(self, step: Step) -> Pieces:
        whole = step.method.products == "whole"
        worth = step.ops.Mul(step.r[0], step.result())
        sent = (self.spread if whole else self.back)(step, worth)
        return {0: [step.ops.apply(f"{step.node.name}/slope", Ops.ratio, sent, step.condition(0))]}

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads((0, *self.values), (0,), self.shapes)

    def bends(self, step: PlannedNode) -> int:
        return CURVED

    def leaves(self, step: PlannedNode) -> bool:
        return True
