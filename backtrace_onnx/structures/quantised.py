"""Numbers in steps: integers that stand for floats by a scale."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.structures.base import Movement, Passes, Pieces, PlannedNode, Reads, Step


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
