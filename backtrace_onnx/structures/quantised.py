"""Numbers in steps: integers that stand for floats by a scale."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import (
    Movement,
    Passes,
    Pieces,
    PlannedNode,
    Reads,
    Step,
    Structure,
)


@dataclass(frozen=True)
class Quantised(Structure):
    """Floats in steps that end somewhere: relevance passes unchanged, slopes as through a Clip.

    As if nothing were rounded: what the steps reach is what it is, and what lies beyond is cut. A
    quantiser leaves out a Relu or Clip that the ends of the steps make needless, so that they are
    the function there.

    Attributes:
        low, high: the numbers that the first and last step stand for.
        step: how far they lie apart.
    """

    low: float
    high: float
    step: float
    has_slopes: bool = True
    bounded: bool = True
    rounds: bool = True
    held: tuple[int, ...] = (1,)

    @property
    def affine(self) -> bool:  # type: ignore[override]
        """Whether neither end is 0: scores in steps, not a function's values."""
        return self.low < 0 < self.high

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        ops, (m,), functions = step.ops, step.r, step.method.functions
        if functions == "derivative" and self.affine:
            return {0: [m]}
        key, x = f"{step.node.name}/reached/{functions}", step.condition(0)
        if functions == "derivative":
            return {0: [ops.apply(key, self._cut, x, m)]}
        if functions == "rescale":
            return {0: [ops.apply(key, self._between, x, step.before(0), m)]}
        return {0: [ops.apply(key, self._secant, x, m)]}

    def slope_reads(self, node: PlannedNode) -> Reads:
        functions = node.method.functions
        if functions == "derivative" and self.affine:
            return Reads()
        return Reads((0,), (), (), (0,)) if functions == "rescale" else Reads((0,))

    def leaves(self, step: PlannedNode) -> bool:
        return True  # what was rounded

    def _reached(self, e: Ops, x: Value) -> Value:
        """x, and the ends in the place of what lies beyond them."""
        return e.Clip(x, e.scalar(self.low), e.scalar(self.high))

    def _inside(self, e: Ops, x: Value) -> Value:
        """Whether x is none that is cut; at an end which is 0, that is a Relu's, 0 is one.

        Where neither end is 0, what lies beyond is what calibration has not met, a confident score
        perhaps: a change of it is one of what is explained.
        """
        low = self.low and self.low - self.step  # within a step of an end it is rounded, not cut
        high = self.high and self.high + self.step
        return e.And(e.Greater(x, e.scalar(low)), e.Less(x, e.scalar(high)))

    def _cut(self, e: Ops, x: Value, m: Value) -> Value:
        return m if self.affine else e.Where(self._inside(e, x), m, e.zero())

    def _secant(self, e: Ops, x: Value, m: Value) -> Value:
        near = e.Equal(x, e.zero())
        far = e.Div(self._reached(e, x), e.Where(near, e.scalar(1), x))
        return e.Where(near, self._cut(e, x, m), e.Mul(m, far))

    def _between(self, e: Ops, x: Value, x0: Value, m: Value) -> Value:
        near = e.Equal(x, x0)
        step = e.Where(near, e.scalar(1), e.Sub(x, x0))
        far = e.Div(e.Sub(self._reached(e, x), self._reached(e, x0)), step)
        return e.Where(near, self._cut(e, x, m), e.Mul(m, far))


@dataclass(frozen=True)
class Rounded(Passes):
    """Floats in steps whose ends lie where the data do: relevance and slopes pass unchanged."""

    rounds: bool = True

    def leaves(self, step: PlannedNode) -> bool:
        return True  # what was rounded


@dataclass(frozen=True)
class Requantised(Movement):
    """Floats in steps of one scale, read in steps of another one, as integer products read them.

    Relevance passes unchanged, as if nothing were rounded. A slope is of a unit of what is read: of
    the float it is as many times the one scale in the other.

    Attributes:
        read: the scale of those who read.
        scale: index of the input with the own scale; None: it is output 1.
        laid: shape in which the own scale is broadcast against the data; () for one number.
    """

    read: float
    scale: int | None = 1
    laid: tuple[int, ...] = ()
    held: tuple[int, ...] = (1,)

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        return {0: [step.ops.Mul(m, self.unit(step)) for m in step.r]}

    def unit(self, step: Step) -> Value:
        ops = step.ops
        own = step.result(1) if self.scale is None else step.condition(self.scale)
        return ops.Div(ops.scalar(self.read), ops.Reshape(own, ints(*self.laid)))

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads(results=(1,)) if self.scale is None else Reads((self.scale,))


@dataclass(frozen=True)
class SeveralSteps(Passes):
    """Floats in steps of one scale, read in steps of several others: relevance passes unchanged."""

    has_slopes: bool = False

    def refuses(self, method: Method) -> str | None:
        return (
            "cannot tell its slope: its integers are read in steps of several sizes; modes default "
            "and contrastive explain it"
        )
