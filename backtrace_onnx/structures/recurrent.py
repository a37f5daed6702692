"""LSTM, GRU and RNN nodes: what their directions have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from backtrace_onnx.ops.vocabulary import Constant, Value, ints
from backtrace_onnx.structures.base import Channels, Pieces, PlannedNode, Reads, Step, Structure
from backtrace_onnx.structures.cell_pieces import B, C, H, P, R, W, X
from backtrace_onnx.structures.cell_slopes import SlopeDirection
from backtrace_onnx.structures.cells import Cell
from backtrace_onnx.structures.direction import Direction, DirectionInputs

LENGTHS = 4
Y, Y_H, Y_C = range(3)


@dataclass(frozen=True)
class Recurrent(Structure):
    """Y, Y_h, Y_c = cells along the first axis of X[steps, batch, input], in each direction.

    Attributes:
        cells: one for each direction.
        backwards: which of them go from the last step to the first.
        states: "h", and "c" where the cell has a memory.
        alone: whether there is only one sequence, as far as is known before the model runs.
    """

    cells: tuple[Cell, ...]
    backwards: tuple[bool, ...]
    states: tuple[str, ...] = ("h",)
    alone: bool = False
    results: tuple[int, ...] = (Y,)
    drops: bool = True  # steps behind a sequence's end, units without mass
    every_output: bool = True
    has_slopes: bool = True
    weighs: bool = True

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(P + 1))

    def propagate(self, step: Step) -> Pieces:
        parts = []
        inputs = _Inputs(step, self)
        for d, (cell, backwards) in enumerate(zip(self.cells, self.backwards, strict=True)):
            node = inputs.node(d, self.states, backwards)
            parts.append(Direction(node, cell).sent())
        return inputs.collected(parts)

    def slopes(self, step: Step) -> Pieces:
        inputs = _Inputs(step, self)
        before = _Inputs(step, self, before=True) if step.method.compares else None
        parts = []
        for d, (cell, backwards) in enumerate(zip(self.cells, self.backwards, strict=True)):
            node = inputs.node(d, self.states, backwards)
            reference = before and before.node(d, self.states, backwards)
            parts.append(SlopeDirection(node, cell, reference or None).sent())
        return inputs.collected(parts)

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads(self.values, self.results, (), self.values, self.results)

    def leaves(self, step: PlannedNode) -> bool:
        return True


class _Inputs:
    """The inputs and outputs of one node, cut into those of its directions.

    Those of the run of the reference, if `before`.
    """

    def __init__(self, step: Step, kind: Recurrent, *, before: bool = False) -> None:
        self.step, self.ops, self.kind = step, step.ops, kind
        self._value = step.before if before else step.condition
        self._result = step.result_before if before else step.result

    def node(self, d: int, states: tuple[str, ...], backwards: bool) -> DirectionInputs:
        """What direction `d` sees of the node."""
        step, cell = self.step, self.kind.cells[d]
        rows, hidden = cell.gates * cell.hidden, cell.hidden
        return DirectionInputs(
            step=step,
            key=f"{step.node.name}/{d}",
            states=states,
            backwards=backwards,
            takes=frozenset(i for i in range(P + 1) if self.has(i) and step.carries(i)),
            alone=self.kind.alone,
            lengths=self.lengths,
            x=self._value(X),
            y=self.ops.Gather(self.y, np.int64(d), axis=1),
            weights=(self.part(W, d), self.part(R, d)),
            biases=(self.part(B, d, 0, rows), self.part(B, d, rows, 2 * rows)),
            peephole=self.part(P, d, shape=(3, hidden)),
            starts=(self.part(H, d), self.part(C, d)),
            r_y=self.incoming(Y, d),
            r_last=tuple(self.incoming(i, d) for i in (Y_H, Y_C)[: len(states)]),
        )

    def has(self, i: int) -> bool:
        """Whether input `i` is given."""
        return i < len(self.step.node.inputs) and self.step.node.inputs[i] != ""

    def part(
        self, i: int, d: int, first: int = 0, last: int | None = None, shape: tuple[int, ...] = ()
    ) -> Value | None:
        """Input `i` of direction `d`, from `first` to `last`, in `shape` if given."""
        if not self.has(i):
            return None
        value = self._value(i)
        if isinstance(value, Constant):
            array = value.array[d, first:last]
            array = array.reshape(shape) if shape else array
            return Constant(f"{value.name}@{d}:{first}", array)
        row = self.ops.Gather(value, np.int64(d), axis=0)
        if last is not None:
            row = self.ops.Gather(row, np.arange(first, last), axis=0)
        return self.ops.Reshape(row, ints(*shape)) if shape else row

    @cached_property
    def y(self) -> Value:
        """The states after every step, [steps, directions, batch, hidden]."""
        node = self.step.node
        if node.outputs[Y]:
            return self._result()
        asked = replace(node, outputs=("Y", *node.outputs[1:]))
        given = [self._value(i) if self.has(i) else None for i in range(len(node.inputs))]
        return self.ops.rerun(asked, given)[Y]

    @property
    def lengths(self) -> Value | None:
        """Steps of every sequence, int64[batch]; None: all of them."""
        return self.ops.Cast(self.step.condition(LENGTHS), to=7) if self.has(LENGTHS) else None

    def incoming(self, i: int, d: int) -> Channels | None:
        """Relevance of output `i` in direction `d`; None where none reached it."""
        outgoing = self.step.outgoing
        r = outgoing[i] if i < len(outgoing) else None
        if r is None:
            return None
        return [self.ops.Gather(x, np.int64(d), axis=1 if i == Y else 0) for x in r]

    def collected(self, parts: Sequence[Mapping[int, Channels]]) -> Pieces:
        """Pieces of all directions: sums for X, one beside the other for all else."""
        ops, pieces = self.ops, {}
        for i in parts[0]:
            each = list(zip(*(part[i] for part in parts), strict=True))
            if i == X:
                pieces[i] = [ops.sum(of_all) for of_all in each]
            else:
                rows = [[ops.Unsqueeze(x, ints(0)) for x in of_all] for of_all in each]
                pieces[i] = [ops.Concat(*of_all, axis=0) for of_all in rows]
        return pieces
