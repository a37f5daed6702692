"""What `on_unsupported` chooses for operators without a rule."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.structures.base import Pieces, Step, Structure


@dataclass(frozen=True)
class Stops(Structure):
    """Relevance stops here and is booked as unassigned."""

    drops: bool = True
    every_output: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {}


@dataclass(frozen=True)
class PassesWhereAlike(Structure):
    """Inputs that carry and have the output's shape get equal parts of its relevance."""

    count: int
    drops: bool = True
    every_output: bool = True

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(self.count))

    def propagate(self, step: Step) -> Pieces:
        ops = step.ops
        if step.outgoing[0] is None:
            return {}
        own = ops.shape(step.r[0])
        takers = [i for i in self.shapes if step.carries(i) and ops.same_shape(step.shape(i), own)]
        if not takers:
            return {}
        share = [ops.Mul(r, ops.scalar(1 / len(takers))) for r in step.r]
        return dict.fromkeys(takers, share)
