"""Slopes of recurrent cells: their equations under the rules that their operators have.

Every node of a step hands slopes back by its own structure. What becomes of the states' is asked
step by step, as a text of one step; what all else is sent, of all steps at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import Sharing
from backtrace_onnx.ops.statistics import row_means
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels, Step
from backtrace_onnx.structures.cell_member import KEPT, REFERENCE, MemberStep, View, rule_within
from backtrace_onnx.structures.cell_pieces import INPUT, laid
from backtrace_onnx.structures.cell_steps import CellSteps, living
from backtrace_onnx.structures.cells import Cell, Operands, preceding
from backtrace_onnx.structures.direction import Direction, DirectionInputs, Segment
from backtrace_onnx.structures.equations import BEFORE, ENTRY, MEMORY
from backtrace_onnx.structures.products import StateProduct
from backtrace_onnx.structures.sums import Terms


def slopes_back(
    view: View, slopes: Mapping[str, Value], wanted: Collection[str]
) -> dict[str, Value]:
    """Slopes of the entries that are wanted, of those of the states after the step."""
    found = {view.equations.ends[name]: m for name, m in slopes.items()}
    needed = view.equations.behind(*wanted)
    ways = view.carriers if view.outer else needed & view.carriers
    for member in reversed(view.equations.members):
        node = member.node
        outgoing = [found.pop(name, None) for name in node.outputs]
        if ways.isdisjoint(node.outputs) or all(m is None for m in outgoing):
            continue
        channels = [None if m is None else [m] for m in outgoing]
        step = cast(Step, MemberStep(view, member, channels))
        structure = member.structure
        if isinstance(structure, StateProduct) and needed.isdisjoint(node.inputs):
            structure.absorb(step)
            continue
        for i, (piece,) in structure.slopes(step).items():
            name = node.inputs[i]
            if name in ways:
                found[name] = view.ops.Add(found[name], piece) if name in found else piece
    return {name: m for name, m in found.items() if name in wanted}


@dataclass(frozen=True)
class SlopeSteps(CellSteps):
    """The text of all steps backwards, of slopes."""

    method: Method
    sharing: Sharing
    weights: tuple[str, ...]
    taking: frozenset[str]

    def _step(
        self,
        e: Ops,
        carried: Sequence[Value],
        arrived: Channels,
        v: Mapping[str, Value],
        o: Sequence[Value],
        valid: Value | None,
    ) -> tuple[list[Value], list[Value]]:
        """(what is carried on to the step before, slopes of the states after this one)."""
        equations, entries = self.cell.equations, [ENTRY[state] for state in self.states]
        after = dict(zip(self.states, carried, strict=True))
        if arrived:
            after["h"] = e.Add(after["h"], arrived[0])
        values = {**dict(zip(self.weights, o, strict=True)), **v}
        carriers = equations.behind(*entries, *self.taking)
        view = View(e, equations, self.method, values, carriers, sharing=self.sharing)
        begun = slopes_back(view, after, entries)
        return living(e, [begun[name] for name in entries], [*after.values()], valid)

    def _read(self, weights: Sequence[Value]) -> Any:
        return weights


class SlopeDirection(Direction):
    """One direction of a node: slopes of what it reads."""

    def __init__(
        self, node: DirectionInputs, cell: Cell, before: DirectionInputs | None = None
    ) -> None:
        super().__init__(node, cell)
        self.method, self.rule = node.step.method, node.step.sharing
        self.before = None if before is None else SlopeDirection(before, cell)

    def _values(self, o: Operands) -> dict[str, Value]:
        found = self._run(o)
        if self.before is not None:
            known = self.before._run(self.before._operands())
            found |= {name + REFERENCE: x for name, x in known.items()}
        for member in self.cell.equations.members:
            rule = rule_within(self.method, self.rule, member)
            name = member.node.outputs[0]
            if rule.epsilon and isinstance(member.structure, StateProduct | Terms):
                found[name + KEPT] = self._kept(found[name], rule, member.gates)
        return found

    def _run(self, o: Operands) -> dict[str, Value]:
        """Every tensor of all steps."""
        ops = self.ops
        before = ops.apply(f"{self.key}/preceding", preceding, o.y, o.h)
        given = {"x": o.x, BEFORE: before, MEMORY: o.c, **self.cell.weights(ops, o)}
        equations = self.cell.equations
        return equations.values(ops, f"{self.key}/values", given, equations.tensors)

    def _kept(self, t: Value, rule: Sharing, gates: int) -> Value:
        """|t| / (|t| + epsilon rms t), of every sample and step; or, absolute, |t| + epsilon."""
        axis, epsilon, absolute = self.axis, rule.epsilon, rule.absolute

        def text(e: Ops, t: Value, count: Value) -> Value:
            size, least = e.Abs(t), e.scalar(epsilon)
            if not absolute:
                least = e.Mul(e.Sqrt(row_means(e, e.Mul(t, t), axis, count, gates)), least)
            return e.ratio(size, e.Add(size, least))

        how = (epsilon, absolute, gates, axis, getattr(axis, "inner", 0))
        key = f"{self.key}/kept/{how}"
        return self.ops.apply(key, text, t, self.ops.sample_count)

    def _steps(
        self, names: tuple[str, ...], o: Operands, sizes: tuple[int, ...]
    ) -> tuple[str, CellSteps]:
        damped = [name for name in names if name.endswith(KEPT)]
        key = f"{self.key}/slopes/{self._how}/{sizes}/{damped}"
        given = (self.cell, self.policy, self.node.states, key, names, o, sizes)
        taking = frozenset(self._taking(o))
        return key, SlopeSteps(*given, self.method, self.rule, tuple(self._named(o)), taking)

    @property
    def _how(self) -> str:
        """Tells texts of methods and rules apart."""
        policy = self.rule.policy
        shared = "" if policy is None else f"{policy.name}:{policy.identity}"
        return f"{self.method.functions}/{self.method.products}/{self.rule.weighed}/{shared}"

    def _book(self, absorbed: Sequence[Value | None]) -> None:
        """Nothing: what arrives is no relevance."""

    def _weights(self, o: Operands) -> list[Value]:
        return list(self._named(o).values())

    def _named(self, o: Operands) -> dict[str, Value]:
        """Weights by name, also those in the run of the reference where they are data."""
        found: dict[str, Value] = self.cell.weights(self.ops, o)
        if self.before is not None:
            known = self.before.cell.weights(self.ops, self.before._operands())
            data = [name for name in known if INPUT[name] in self.node.takes]
            found |= {name + REFERENCE: known[name] for name in data}
        return found

    def _taking(self, o: Operands) -> set[str]:
        """Entries that take slopes, without states."""
        names = ("x", *self.cell.weights(self.ops, o))
        return {name for name in names if INPUT[name] in self.node.takes}

    def _sent(self, s: Segment) -> dict[Any, Channels]:
        """Slopes of what the steps of a segment read."""
        wanted = self._taking(s.o)
        states = {ENTRY[state] for state in self.node.states if state not in s.fixed}
        equations, node = self.cell.equations, self.node
        view = View(
            self.ops,
            equations,
            self.method,
            {**self._named(s.o), **s.v},
            equations.behind(*wanted, *states),
            f"{self._how}/{''.join(sorted(s.fixed))}/",
            self.axis,
            node.step,
            self.rule,
        )
        arrived = {state: m for state, (m,) in s.r.items()}
        found = slopes_back(view, arrived, wanted | states if s.fixed else wanted)
        starts = node.states if s.fixed else ()
        return laid(self.ops, {name: [m] for name, m in found.items()}, starts)
