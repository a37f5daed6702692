"""Operators that choose the largest or smallest of several elements: the winners take it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.ops.windows import Window
from backtrace_onnx.structures.base import CURVED, Movement, Pieces, PlannedNode, Reads, Step

MOST = 64
"""Of how many elements the parts of a line on which each wins are computed; else it is sampled."""


@dataclass(frozen=True)
class Winner(Movement):
    """The elements that equal the result along some axes take its relevance; ties share equally.

    Attributes:
        axes: these axes; None: those along which the result has size 1.
        kept: `(step) -> ` the result's shape with size 1 along the axes, where it lacks them.
        shape: that of the input, as far as it is known.
        lowest: whether the smallest wins.
    """

    axes: tuple[int, ...] | None
    kept: Callable[[Step], Value] | None = None
    values: tuple[int, ...] = (0,)
    results: tuple[int, ...] = (0,)
    shapes: tuple[int, ...] = (0,)
    selects: bool = True
    shape: tuple[int | str | None, ...] = ()
    lowest: bool = False

    @property
    def _places(self) -> int:
        """How many elements there are along the axes; 0: too many, or that is not known."""
        sizes = [self.shape[i] for i in self.axes or ()] if self.shape else []
        known = [n for n in sizes if isinstance(n, int)]
        places = prod(known) if known and len(known) == len(sizes) else 0
        return places if places <= MOST else 0

    def bends(self, step: PlannedNode) -> int:
        return 0 if self._places else CURVED  # other elements may win on the way

    def slope_reads(self, node: PlannedNode) -> Reads:
        own = super().slope_reads(node)
        exact = node.method.compares and self._places
        return Reads(self.values, (), self.shapes, before=(0,)) if exact else own

    def slopes(self, step: Step) -> Pieces:
        """Where the method compares, the exact mean on the line, if it can be computed."""
        if not step.method.compares or not self._places:
            return self.propagate(step)
        (m,), rank = step.r, len(self.shape)
        if self.kept is not None:
            m = step.ops.Reshape(m, self.kept(step))
        axes = [i % rank for i in self.axes or ()]

        def text(e: Ops, x: Value, x0: Value, m: Value) -> Value:
            return e.split_reduced(x, x0, m, axes, rank, self._places, lowest=self.lowest)

        key = f"{step.node.name}/lines"
        return {0: [step.ops.apply(key, text, step.condition(0), step.before(0), m)]}

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
    lowest: bool = False
    results: tuple[int, ...] = (0,)
    selects: bool = True

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(self.count))

    shapes = values
    broadcasts = values

    def slope_reads(self, node: PlannedNode) -> Reads:
        moving = tuple(i for i in self.values if node.moves(i))
        own = super().slope_reads(node)
        return Reads(self.values, (), self.shapes, before=moving) if node.method.compares else own

    def slopes(self, step: Step) -> Pieces:
        """Where the method compares, the exact mean on the line: others may win there."""
        if not step.method.compares:
            return self.propagate(step)
        ends: list[Value] = []
        for i in self.values:
            x = step.condition(i)
            ends += [x, step.before(i) if step.moves(i) else x]

        def text(e: Ops, m: Value, *given: Value) -> tuple[Value, ...]:
            pairs = list(zip(given[::2], given[1::2], strict=True))
            return tuple(e.split_operands(pairs, m, lowest=self.lowest))

        made = step.ops.apply(f"{step.node.name}/lines", text, step.r[0], *ends)
        parts = made if isinstance(made, tuple) else (made,)
        return {i: [part] for i, part in enumerate(parts)}

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
