"""Slopes of recurrent cells: their equations under the rules that their operators have.

Every node of a step hands slopes back by its own structure. What becomes of the states' is asked
step by step, as a text of one step; what all else is sent, of all steps at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.sharing import Sharing
from backtrace_onnx.ops.statistics import row_means
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import Channels, Step
from backtrace_onnx.structures.cell_steps import CellSteps, living
from backtrace_onnx.structures.cells import Operands, preceding
from backtrace_onnx.structures.direction import B, Direction, DirectionInputs, P, R, Segment, W, X
from backtrace_onnx.structures.equations import BEFORE, MEMORY, Equation, Equations
from backtrace_onnx.structures.products import StateProduct

REFERENCE, KEPT = "@reference", "@kept"
"""Marks a tensor's value in the run of a reference; what a stabiliser leaves of its slope."""


@dataclass(frozen=True)
class Rules:
    """What a method says inside of a cell.

    Attributes:
        sharing: of the node: it holds for the input's product with its weights, and but for what
            weighs anew, for the state's.
    """

    method: Method
    sharing: Sharing

    def of(self, member: Equation) -> Sharing:
        """How a node of a step shares."""
        if member.mixes and ("x" in member.node.inputs or self.sharing.weighed == "contributions"):
            return self.sharing
        return Sharing(epsilon=self.method.epsilon)

    @property
    def key(self) -> str:
        """Tells texts apart."""
        method, policy = self.method, self.sharing.policy
        how = f"{method.functions}/{method.products}/{self.sharing.weighed}"
        return how if policy is None else f"{how}/{policy.name}:{policy.identity}"


@dataclass(frozen=True)
class Walk:
    """Slopes on their way back through one step, or through all of them at once.

    Attributes:
        values: of all tensors, by name.
        carriers: tensors that take slopes.
        name: first part of the names of texts.
        axis: along which samples lie.
        outer: the step of the whole node, which keeps the books; None: nobody does.
    """

    ops: Ops
    equations: Equations
    rules: Rules
    values: Mapping[str, Value]
    carriers: frozenset[str]
    name: str = ""
    axis: int | None = None
    outer: Step | None = None

    def back(self, slopes: Mapping[str, Value], wanted: Collection[str]) -> dict[str, Value]:
        """Slopes of the entries that are wanted, of those of the states after the step."""
        found = {self.equations.ends[name]: m for name, m in slopes.items()}
        needed = self.equations.behind(*wanted)
        ways = self.carriers if self.outer else needed & self.carriers
        for member in reversed(self.equations.members):
            node = member.node
            outgoing = [found.pop(name, None) for name in node.outputs]
            if ways.isdisjoint(node.outputs) or all(m is None for m in outgoing):
                continue
            channels = [None if m is None else [m] for m in outgoing]
            step = cast(Step, _MemberStep(self, member, channels))
            structure = member.structure
            if isinstance(structure, StateProduct) and needed.isdisjoint(node.inputs):
                structure.absorb(step)
                continue
            for i, (piece,) in structure.slopes(step).items():
                name = node.inputs[i]
                if name in ways:
                    found[name] = self.ops.Add(found[name], piece) if name in found else piece
        return {name: m for name, m in found.items() if name in wanted}


class _MemberStep:
    """A node of a cell's step, as its structure sees it."""

    gate = None

    def __init__(self, walk: Walk, member: Equation, outgoing: Sequence[Channels | None]) -> None:
        self._walk, self._member, self.outgoing = walk, member, outgoing
        self.ops, self.method = walk.ops, walk.rules.method
        self.policy: Policy = self.method.policy
        self.sharing = walk.rules.of(member)
        self.node: Node = replace(member.node, name=f"{walk.name}{member.node.name}")
        self._between = self.method.compares and member.structure.bends(cast(Step, self)) > 0

    @property
    def r(self) -> Channels:
        found = self.outgoing[0]
        assert found is not None
        return found

    @property
    def holds(self) -> bool:
        return self.method.statistics == "held"

    @property
    def bounded(self) -> bool:
        return False

    def weighed(self, i: int) -> Value:
        x = self.tensor(self.node.inputs[i])
        return self.ops.Sub(x, self.before(i)) if self.method.compares else x

    def condition(self, i: int) -> Value:
        """Half way from the reference, where that is the mean slope of a product."""
        x = self.tensor(self.node.inputs[i])
        if not getattr(self, "_between", False) or not self.carries(i):
            return x
        return self.ops.Mul(self.ops.Add(x, self.before(i)), self.ops.scalar(0.5))

    def tensor(self, name: str) -> Value:
        number = self._walk.equations.numbers.get(name)
        return self._walk.values[name] if number is None else self.ops.scalar(number)

    def result(self, i: int = 0) -> Value:
        return self.tensor(self.node.outputs[i])

    def before(self, i: int) -> Value:
        name = self.node.inputs[i]
        return self._walk.values.get(name + REFERENCE, self._walk.values.get(name))

    def result_before(self) -> Value:
        return self._walk.values[self.node.outputs[0] + REFERENCE]

    def shape(self, i: int) -> Value:
        return self.ops.shape(self.tensor(self.node.inputs[i]))

    def carries(self, i: int) -> bool:
        return self.node.inputs[i] in self._walk.carriers

    def is_gate(self, i: int) -> bool:
        return False

    def nonnegative(self, i: int) -> bool:
        return False

    def infinite(self, i: int) -> bool:
        return False

    def sample_axis(self, tensor: str | None = None) -> int | None:
        return None if tensor in _INPUT and tensor != "x" else self._walk.axis

    def stabilised(self) -> Value:
        kept = self._walk.values.get(self.node.outputs[0] + KEPT)
        (m,) = self.r
        if kept is None:
            return m
        made = self.ops.Mul(m, kept)
        if self._walk.outer is not None:
            lost = self.ops.Mul(self.result(), self.ops.Sub(m, made))
            self.book("unassigned", 0, self.ops.total(lost, self._walk.axis))
        return made

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        if self._walk.outer is not None:
            self._walk.outer.book(kind, channel, total)


@dataclass(frozen=True)
class SlopeSteps(CellSteps):
    """The text of all steps backwards, of slopes."""

    rules: Rules | None = None
    weights: tuple[str, ...] = ()
    taking: frozenset[str] = frozenset()

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
        equations, rules, entries = self.cell.equations, self.rules, _entries(self.states)
        assert rules is not None
        after = dict(zip(self.states, carried, strict=True))
        if arrived:
            after["h"] = e.Add(after["h"], arrived[0])
        values = {**dict(zip(self.weights, o, strict=True)), **v}
        walk = Walk(e, equations, rules, values, equations.behind(*entries, *self.taking))
        begun = walk.back(after, entries)
        return living(e, [begun[name] for name in entries], [*after.values()], valid)

    def _read(self, weights: Sequence[Value]) -> Any:
        return weights


class SlopeDirection(Direction):
    """One direction of a node: slopes of what it reads."""

    def __init__(
        self, node: DirectionInputs, cell: Any, before: DirectionInputs | None = None
    ) -> None:
        super().__init__(node, cell)
        step = node.step
        self.equations: Equations = cell.equations
        self.rules = Rules(step.method, step.sharing)
        self.before = None if before is None else SlopeDirection(before, cell)

    def _values(self, o: Operands) -> dict[str, Value]:
        found = self._run(o)
        if self.before is not None:
            known = self.before._run(self.before._operands())
            found |= {name + REFERENCE: x for name, x in known.items()}
        for member in self.equations.members:
            epsilon = self.rules.of(member).epsilon
            name = member.node.outputs[0]
            if epsilon and (member.mixes or member.node.op_type in ("Sum", "Sub", "Add")):
                found[name + KEPT] = self._kept(found[name], epsilon, member.gates)
        return found

    def _run(self, o: Operands) -> dict[str, Value]:
        """Every tensor of all steps."""
        ops = self.ops
        before = ops.apply(f"{self.key}/preceding", preceding, o.y, o.h)
        given = {"x": o.x, BEFORE: before, MEMORY: o.c, **self.cell.weights(ops, o)}
        equations = self.equations
        return equations.values(ops, f"{self.key}/values", given, equations.tensors)

    def _kept(self, t: Value, epsilon: float, gates: int) -> Value:
        """|t| / (|t| + epsilon rms t), of every sample and step."""
        axis = self.axis

        def text(e: Ops, t: Value, count: Value) -> Value:
            size, mean = e.Abs(t), row_means(e, e.Mul(t, t), axis, count, gates)
            return e.ratio(size, e.Add(size, e.Mul(e.Sqrt(mean), e.scalar(epsilon))))

        key = f"{self.key}/kept/{epsilon}/{gates}/{axis}/{getattr(axis, 'inner', 0)}"
        return self.ops.apply(key, text, t, self.ops.sample_count)

    def _steps(
        self, names: tuple[str, ...], o: Operands, sizes: tuple[int, ...]
    ) -> tuple[str, CellSteps]:
        key = f"{self.key}/slopes/{self.rules.key}/{sizes}/{len(names)}"
        given = (self.cell, self.policy, self.node.states, key, names, o, sizes)
        weights = tuple(self._named(o))
        return key, SlopeSteps(*given, self.rules, weights, frozenset(self._taking(o)))

    def _book(self, absorbed: Sequence[Value | None]) -> None:
        """Nothing: what arrives is no relevance."""

    def _weights(self, o: Operands) -> list[Value]:
        return list(self._named(o).values())

    def _named(self, o: Operands) -> dict[str, Value]:
        """Weights by name, also those in the run of the reference where they are data."""
        found: dict[str, Value] = self.cell.weights(self.ops, o)
        if self.before is not None:
            known = self.before.cell.weights(self.ops, self.before._operands())
            found |= {
                name + REFERENCE: x for name, x in known.items() if _INPUT[name] in self.node.takes
            }
        return found

    def _taking(self, o: Operands) -> set[str]:
        """Entries that take slopes, without states."""
        names = ("x", *self.cell.weights(self.ops, o))
        return {name for name in names if _INPUT[name] in self.node.takes}

    def _sent(self, s: Segment) -> dict[Any, Channels]:
        """Slopes of what the steps of a segment read."""
        wanted = self._taking(s.o)
        open_ = [state for state in self.node.states if state not in s.fixed]
        states = set(_entries(open_))
        values = {**self._named(s.o), **s.v}
        carriers = self.equations.behind(*wanted, *states)
        name = f"{self.rules.key}/{''.join(sorted(s.fixed))}/"
        walk = Walk(
            self.ops, self.equations, self.rules, values, carriers, name, self.axis, self.node.step
        )
        found = walk.back({k: r[0] for k, r in s.r.items()}, wanted | states if s.fixed else wanted)
        return self._laid(found, s)

    def _laid(self, found: Mapping[str, Value], s: Segment) -> dict[Any, Channels]:
        """Slopes by what `_merged` calls them."""
        ops = self.ops
        made: dict[Any, Channels] = {}
        if "x" in found:
            made["x"] = [found["x"]]
        for name, parts in (
            ("w", ("w",)),
            ("wb", ("wb",)),
            ("r", ("r", "r_n")),
            ("rb", ("rb", "rb_n")),
        ):
            rows = [found[part] for part in parts if part in found]
            if rows:
                made[name] = [rows[0] if len(rows) == 1 else ops.Concat(*rows, axis=0)]
        peep = [found[name] for name in ("p_i", "p_o", "p_f") if name in found]
        if peep:
            summed = [ops.ReduceSum(x, ints(0, 1), keepdims=0) for x in peep]
            made["p"] = [ops.Concat(*summed, axis=0)]
        if s.fixed:
            begun = zip(self.node.states, _entries(self.node.states), strict=True)
            made |= {f"first {k}": self._row([found[x]]) for k, x in begun if x in found}
        return made


def _entries(states: Sequence[str]) -> list[str]:
    """Names of the states before a step."""
    return [{"h": BEFORE, "c": MEMORY}[state] for state in states]


_INPUT = {
    "x": X,
    "w": W,
    "wb": B,
    "r": R,
    "rb": B,
    "r_n": R,
    "rb_n": B,
    "p_i": P,
    "p_o": P,
    "p_f": P,
}
