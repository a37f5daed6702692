"""One direction of an LSTM, GRU or RNN node: its steps backwards, then its products all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints
from backtrace_onnx.structures.base import Channels, Pieces, Step
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
from backtrace_onnx.structures.products import CellProduct

X, W, R, B, _, H, C, P = range(8)


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
        pieces = self._merged(found)
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
        return self._row(rows)

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
        first = self._to_starts(sent, s) if s.fixed else {}
        return {**first, **self._to_input(sent, s), **self._to_state(sent, s)}

    def _to_starts(self, sent: Sent, s: Segment) -> dict[Any, Channels]:
        """What the states before the first step are sent."""
        found: dict[Any, Channels] = {}
        if sent.state is not None and "h" not in s.fixed:
            pulled = self.sharing.pull(
                self.key, sent.state, self.cell.states(s.v, s.o, self.ops)[0]
            )
            found["first h"] = self._row(self.sharing.plus(pulled, sent.h))
        if sent.c is not None and "c" not in s.fixed:
            found["first c"] = self._row(sent.c)
        return found

    def _row(self, r: Channels) -> Channels:
        return [self.ops.Squeeze(x, ints(0)) for x in r]

    def _to_input(self, sent: Sent, s: Segment) -> dict[str, Channels]:
        """What the sequence, its weights and their bias are sent."""
        takes = (X in self.node.takes, W in self.node.takes, B in self.node.takes)
        bias = self._joined_bias(s) if "joined" in s.fixed else s.o.wb
        (z,) = self.cell.equations.products[0].node.outputs
        pieces = self._product("input", sent.x, (s.o.x, s.o.w, bias, s.v[z]), takes, s)
        return {name: pieces[i] for i, name in enumerate(("x", "w", "wb")) if i in pieces}

    def _to_state(self, sent: Sent, s: Segment) -> dict[str, Channels]:
        """What the state's weights and their bias are sent; constant ones are booked."""
        found: dict[str, list[Channels]] = {"r": [], "rb": []}
        for k, (r, state) in enumerate(
            zip((sent.state, sent.inner), self.cell.states(s.v, s.o, self.ops), strict=False)
        ):
            if r is None:
                continue
            if not self.node.takes & {R, B}:
                self._absorb(r, state)
                continue
            takes = (k > 0 or "h" not in s.fixed, R in self.node.takes, B in self.node.takes)
            parts = (state.x, state.weight, state.bias, state.z)
            pieces = self._product(f"state{k}", r, parts, takes, s)
            for i, name in ((1, "r"), (2, "rb")):
                if i in pieces:
                    found[name].append(pieces[i])
        made = {name: self._below(parts) for name, parts in found.items() if parts}
        return {**made, **({} if sent.peephole is None else {"p": self._summed(sent.peephole)})}

    def _summed(self, r: Channels) -> Channels:
        """Summed over steps and batch."""
        return [self.ops.ReduceSum(x, ints(0, 1), keepdims=0) for x in r]

    def _below(self, parts: Sequence[Channels]) -> Channels:
        """Rows of weights one below the other, by channel."""
        return [self.ops.Concat(*rows, axis=0) for rows in zip(*parts, strict=True)]

    def _absorb(self, r: Channels, state: State) -> None:
        """Book what the bias of a product with constants absorbs."""
        if isinstance(state.bias, Constant):
            masses = (state.p, state.n, state.bias)
            self._book(self.ops.share(self.policy, *masses, r, None, self.axis).to_bias)

    def _product(
        self,
        name: str,
        r: Channels,
        parts: tuple[Value, Value, Value, Value],
        takes: tuple[bool, bool, bool],
        s: Segment,
    ) -> Pieces:
        key = f"{self.key}/{name}/{sorted(s.fixed)}"
        steady = name == "input" and "joined" in s.fixed
        gate = self.cell.saturation if steady and self.policy.gated else None
        return CellProduct(self.node.step, key, r, *parts, takes, self.axis, steady, gate).sent()

    def _joined_bias(self, s: Segment) -> Value:
        """Bias of the input's product, with the fixed product with the state in it."""
        state = self.cell.constant(self.sharing, s.v, s.o, s.fixed)
        return state if s.o.wb is None else self.ops.Add(state, s.o.wb)

    def _merged(self, found: Sequence[Mapping[str, Channels]]) -> dict[Any, Channels]:
        """Pieces of all segments, by input: steps one after another, all else summed."""
        ops = self.ops
        each = {
            name: list(zip(*(part[name] for part in found if name in part), strict=True))
            for name in dict.fromkeys(name for part in found for name in part)
        }
        pieces: dict[Any, Channels] = {}
        if "x" in each:
            steps = [x[0] if len(x) == 1 else ops.Concat(*x, axis=0) for x in each["x"]]
            pieces[X] = [self._turned(x) for x in steps]
        summed = {name: [ops.sum(x) for x in each[name]] for name in each if name != "x"}
        pieces.update({i: summed[name] for name, i in (("w", W), ("r", R)) if name in summed})
        if "wb" in summed or "rb" in summed:
            pieces[B] = [
                ops.Concat(*x, axis=0) for x in zip(summed["wb"], summed["rb"], strict=True)
            ]
        if "p" in summed:
            pieces[P] = summed["p"]
        return {**pieces, **{name: summed[name] for name in summed if name.startswith("first")}}
