"""One direction of an LSTM, GRU or RNN node: its steps backwards, then its products all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np

from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints
from backtrace_onnx.structures.base import Channels, Step
from backtrace_onnx.structures.cell_member import MemberStep, View
from backtrace_onnx.structures.cell_pieces import INPUT, B, C, H, P, R, X, laid, merged
from backtrace_onnx.structures.cell_sharing import (
    NONE_FIXED,
    CellSharing,
    Fixed,
    Sent,
    State,
    Values,
)
from backtrace_onnx.structures.cell_steps import CellSteps, grouped
from backtrace_onnx.structures.cells import Cell, Operands
from backtrace_onnx.structures.equations import BEFORE, MEMORY, Equation

JOINED = "joined bias"


@dataclass(frozen=True)
class DirectionInputs:
    """What one direction sees of its node, in the order of the steps.

    Attributes:
        takes: inputs that take relevance.
        alone: whether there is only one sequence, as far as is known before the model runs.
        lengths: steps of every sequence; None: all of them.
        y: states after every step.
        r_y, r_last: relevance of these, and of the last states by name; None: none.
    """

    step: Step
    key: str
    states: tuple[str, ...]
    backwards: bool
    takes: frozenset[int]
    alone: bool
    lengths: Value | None
    x: Value
    y: Value
    weights: tuple[Value, Value]
    biases: tuple[Value | None, Value | None]
    peephole: Value | None
    starts: tuple[Value | None, Value | None]
    r_y: Channels | None
    r_last: tuple[Channels | None, ...]


class Segment(NamedTuple):
    """Some of the steps: relevance of the states after them, their values and operands."""

    r: Mapping[str, Channels]
    v: Values
    o: Operands
    fixed: Fixed


class Direction:
    """One direction of a node: the walk over its steps, then what each of its inputs is sent.

    All is computed in the order in which the direction goes through time.
    """

    def __init__(self, node: DirectionInputs, cell: Cell) -> None:
        self.node, self.cell, self.key = node, cell, node.key
        self.ops, self.policy = node.step.ops, node.step.policy
        self.axis = node.step.sample_axis(node.step.node.inputs[X])
        self.sharing = CellSharing(self.ops, self.policy, self.axis, self._book)

    def sent(self) -> dict[int, Channels]:
        """What the node's inputs are sent by this direction, by input."""
        o = self._operands()
        v = self._values(o)
        after, begun = self._walk(v, o)
        fixed = self._fixed(o)
        whole = Segment(after, v, o, fixed)
        found = [self._sent(part) for part in (self._cut(whole) if fixed else [whole])]
        pieces = merged(self.ops, found)
        if X in pieces:
            pieces[X] = [self._turned(x) for x in pieces[X]]
        for name, i in (("h", H), ("c", C)):
            if i in self.node.takes:
                pieces[i] = pieces.pop(f"first {name}") if fixed else begun[name]
        return {i: r for i, r in pieces.items() if i in self.node.takes}

    def _book(self, absorbed: Sequence[Value | None]) -> None:
        for channel, total in enumerate(absorbed):
            self.node.step.book("constants", channel, total)

    # What is computed with ------------------------------------------------------------------

    def _operands(self) -> Operands:
        node = self.node
        return Operands(
            self._turned(node.x),
            self._turned(node.y),
            *node.weights,
            *node.biases,
            node.peephole,
            *node.starts,
            data=frozenset(name for name, i in (("r", R), ("p", P)) if i in node.takes),
        )

    def _values(self, o: Operands) -> dict[str, Value]:
        """Values of all steps, by name."""
        return self.cell.forward(self.ops, self.key, self.policy.reading, o)

    def _turned(self, x: Value) -> Value:
        """From the order of the steps to that of this direction, or back."""
        return self.ops.turn(x, self.node.lengths) if self.node.backwards else x

    def _valid(self) -> Value | None:
        """1 for steps before a sequence's end, else 0: [steps, batch, 1]; None: all are."""
        lengths = self.node.lengths
        if lengths is None:
            return None

        def text(e: Ops, lengths: Value, x: Value) -> Value:
            steps = e.Concat(e.Shape(x, end=1), ints(1, 1), axis=0)
            ends = e.Reshape(lengths, ints(1, -1, 1))
            return e.Cast(e.Less(e.ids(steps, np.int64(0)), ends), to=e.float_type)

        return self.ops.apply(f"{self.key}/valid", text, lengths, self.node.x)

    def _fixed(self, o: Operands) -> Fixed:
        """What takes no relevance before the first step."""
        starts = dict(zip(self.node.states, (H, C), strict=False))
        fixed = {name for name, i in starts.items() if i not in self.node.takes}
        if "h" in fixed and not self.node.takes & {R, B}:
            # One sequence's product is a constant per channel: a bias where it is written out.
            fixed.add("joined" if self.node.alone and self.cell.joins else "product")
        return frozenset(fixed)

    # The walk -------------------------------------------------------------------------------

    def _walk(self, v: Values, o: Operands) -> tuple[dict[str, Channels], dict[str, Channels]]:
        """Relevance of the states after every step, stacked, and before the first step."""
        node, channels = self.node, self.policy.channels
        valid = self._valid()
        rows = self._arriving([self._turned(x) for x in node.r_y or ()], valid)
        last = [self._ending(r, valid) for r in node.r_last]
        groups = [rows, *last, [*v.values()], self._weights(o), [valid]]
        sizes = tuple(len(group) for group in groups)
        key, steps = self._steps(tuple(v), o, sizes)
        made = self.ops.walk_cell(key, steps, groups)
        parts = grouped(made, [channels] * (2 * len(node.states)))
        begun, after = parts[: len(node.states)], parts[len(node.states) :]
        return dict(zip(node.states, after, strict=True)), dict(
            zip(node.states, begun, strict=True)
        )

    def _weights(self, o: Operands) -> list[Value]:
        """What a step computes with besides values."""
        return [o.r, o.rb, o.peephole]

    def _steps(
        self, names: tuple[str, ...], o: Operands, sizes: tuple[int, ...]
    ) -> tuple[str, CellSteps]:
        """The text of all steps, and its key."""
        policy = self.policy
        key = f"{self.key}/walk/{policy.name}:{policy.identity}/{sizes}"
        return key, CellSteps(self.cell, policy, self.node.states, self.key, names, o, sizes)

    def _arriving(self, r: Channels, valid: Value | None) -> Channels:
        """Relevance of outputs [steps, batch, hidden]; where not valid they are constantly 0."""
        if valid is None:
            return r
        kept = [self.ops.Mul(x, valid) for x in r]
        if self.ops.keeps_ledger:
            rest = [self.ops.Sub(x, y) for x, y in zip(r, kept, strict=True)]
            self._book([self.ops.total(x, self.axis) for x in rest])
        return kept

    def _ending(self, r: Channels | None, valid: Value | None) -> Channels:
        """Relevance of last states [batch, hidden]; those of no step at all are constantly 0."""
        if r is None or valid is None:
            return r or []
        begun = self.ops.Gather(valid, ints(0), axis=0)
        rows = self._arriving([self.ops.Unsqueeze(x, ints(0)) for x in r], begun)
        return [self.ops.Squeeze(x, ints(0)) for x in rows]

    # What the walk found, sent on -------------------------------------------------------------

    def _cut(self, s: Segment) -> list[Segment]:
        """The first step, before which something is fixed, and all others."""
        ops = self.ops
        rest = ops.Sub(ops.Gather(ops.shape(s.o.x), ints(0), axis=0), ints(1))

        def cut(x: Value) -> tuple[Value, ...]:
            return ops.split(x, [ints(1), rest], 0)

        r = {name: [cut(x) for x in channels] for name, channels in s.r.items()}
        v, x = {name: cut(value) for name, value in s.v.items()}, cut(s.o.x)
        return [
            Segment(
                {name: [parts[k] for parts in channels] for name, channels in r.items()},
                {name: parts[k] for name, parts in v.items()},
                s.o._replace(x=x[k]),
                (s.fixed, NONE_FIXED)[k],
            )
            for k in range(2)
        ]

    def _sent(self, s: Segment) -> dict[Any, Channels]:
        """Pieces of the steps of a segment."""
        sent = self.cell.back(self.sharing, self.key, s.r, s.v, s.o, s.fixed)
        found: dict[str, Channels] = {}
        states = self.cell.states(s.v, s.o, self.ops)
        of_products = zip((sent.x, sent.state, sent.inner), (None, *states), strict=False)
        for member, (r, state) in zip(self.cell.equations.products, of_products, strict=True):
            if r is not None and (state is None or self.node.takes & {R, B}):
                found |= self._product(member, r, s)
            elif r is not None and state is not None:
                self._absorb(r, state)
        found |= {name: r for name, r in sent.peepholes.items() if "p" in s.o.data}
        found |= self._to_starts(sent, s) if s.fixed else {}
        return laid(self.ops, found, self.node.states if s.fixed else ())

    def _to_starts(self, sent: Sent, s: Segment) -> dict[str, Channels]:
        """What the states before the first step are sent."""
        found: dict[str, Channels] = {}
        if sent.state is not None and "h" not in s.fixed:
            state = self.cell.states(s.v, s.o, self.ops)[0]
            pulled = self.sharing.pull(self.key, sent.state, state)
            found[BEFORE] = self.sharing.plus(pulled, sent.h)
        if sent.c is not None and "c" not in s.fixed:
            found[MEMORY] = sent.c
        return found

    def _absorb(self, r: Channels, state: State) -> None:
        """Book what the bias of a product with constants absorbs."""
        if isinstance(state.bias, Constant):
            masses = (state.p, state.n, state.bias)
            self._book(self.ops.share(self.policy, *masses, r, None, self.axis).to_bias)

    def _product(self, member: Equation, r: Channels, s: Segment) -> dict[str, Channels]:
        """What a product with weights sends to what it reads, by entry."""
        ops, node, equations = self.ops, self.node, self.cell.equations
        values = {**self.cell.weights(ops, s.o), **s.v, "x": s.o.x}
        gate, first = None, member is equations.products[0]
        if first and "joined" in s.fixed:
            values[JOINED] = self._joined_bias(s)
            inputs = (*member.node.inputs[:2], JOINED)
            member = replace(member, node=replace(member.node, inputs=inputs))
            gate = self.cell.saturation if self.policy.gated else None
        entries = {name for name, i in INPUT.items() if i in node.takes}
        entries |= {BEFORE} if "h" not in s.fixed else set()
        carriers, name = equations.behind(*entries), f"{sorted(s.fixed)}/"
        method = node.step.method
        view = View(ops, equations, method, values, carriers, name, self.axis, node.step)
        step = MemberStep(view, member, [r], gate)
        pieces = member.structure.propagate(cast(Step, step))
        return {step.node.inputs[i]: sent for i, sent in pieces.items()}

    def _joined_bias(self, s: Segment) -> Value:
        """Bias of the input's product, with the fixed product with the state in it."""
        state = self.cell.constant(self.sharing, s.v, s.o, s.fixed)
        return state if s.o.wb is None else self.ops.Add(state, s.o.wb)
