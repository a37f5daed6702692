"""Operators that choose the largest or smallest of several elements: the winners take it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.ops.windows import Window
from backtrace_onnx.structures.base import CURVED, Movement, Pieces, PlannedNode, Reads, Step


@dataclass(frozen=True)
class Winner(Movement):
    """The elements that equal the result along some axes take its relevance; ties share equally.

    Attributes:
        axes: these axes; None: those along which the result has size 1.
        kept: `(step) -> ` the result's shape with size 1 along the axes, where it lacks them.
    """

    axes: tuple[int, ...] | None
    kept: Callable[[Step], Value] | None = None
    values: tuple[int, ...] = (0,)
    results: tuple[int, ...] = (0,)
    shapes: tuple[int, ...] = (0,)
    selects: bool = True

    def bends(self, step: PlannedNode) -> int:
        return CURVED  # other elements may win on the way

    def propagate(self, step: Step) -> Pieces:
        ops, best, r = step.ops, step.result(), list(step.r)
        if self.kept is not None:
            shape = self.kept(step)
            best, r = ops.Reshape(best, shape), [ops.Reshape(x, shape) for x in r]
        return {0: [ops.split_ties(step.condition(0), best, x, self.axes) for x in r]}


@dataclass(frozen=True)
class ElementwiseWinner(Movement):
    """Entry by entry, the operands that equal the result take its relevance; ties share equally."""

    count: int
    results: tuple[int, ...] = (0,)
    selects: bool = True

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(self.count))

    shapes = values
    broadcasts = values

    def bends(self, step: PlannedNode) -> int:
        return CURVED  # other elements may win on the way

    def propagate(self, step: Step) -> Pieces:
        ops, best = step.ops, step.result()
        wins = [
            ops.Cast(ops.Equal(step.condition(i), best), to=ops.float_type) for i in self.values
        ]
        ties = ops.Max(ops.sum(wins), ops.scalar(1))
        shares = [ops.Div(r, ties) for r in step.r]
        return {i: [ops.Mul(win, share) for share in shares] for i, win in enumerate(wins)}


@dataclass(frozen=True)
class WindowWinner(Movement):
    """The elements of each window that equal its maximum take its relevance; ties share equally."""

    window: Window
    values: tuple[int, ...] = (0,)
    results: tuple[int, ...] = (0,)
    selects: bool = True

    def slope_reads(self, node: PlannedNode) -> Reads:
        own = super().slope_reads(node)
        return Reads((0,), before=(0,)) if node.method.compares else own

    def slopes(self, step: Step) -> Pieces:
        """Where the method compares, the exact mean on the line: other elements may win there."""
        if not step.method.compares or step.outgoing[0] is None:
            return self.propagate(step)
        ends = (step.condition(0), step.before(0))

        def highest(x: Value) -> Value:
            return step.ops.rerun(step.node, [x])[0]

        return {0: [step.ops.split_lines(*ends, m, self.window, highest) for m in step.r]}

    def propagate(self, step: Step) -> Pieces:
        if step.outgoing[0] is None:
            return {}
        x, best = step.condition(0), step.result()
        return {0: [step.ops.split_windows(x, best, r, self.window) for r in step.r]}
