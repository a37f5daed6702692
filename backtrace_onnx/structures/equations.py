"""A recurrent cell's step, written once: its equations as nodes, each with its own structure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.products import StateProduct
from backtrace_onnx.structures.sums import Terms

BEFORE, MEMORY = "before", "memory"
"""The states before a step, h and c."""

ENTRY = {"h": BEFORE, "c": MEMORY}

PEEPHOLES = ("p_i", "p_o", "p_f")
WEIGHTS = ("w", "wb", "r", "rb", "r_n", "rb_n", *PEEPHOLES)
"""Weights and biases of the input's product, of the state's, and of one in the middle of the step;
peepholes."""


@dataclass(frozen=True)
class Equation:
    """One node of a step.

    Attributes:
        compute: `(ops, *inputs) -> ` its output, or several; of one step and of all of them.
        gates: how many gates lie side by side in what it makes.
        activates: whether it is an activation, or one part of it.
        kept: whether what it makes is kept with the values of all steps, not cut out when read.
    """

    node: Node
    structure: Structure
    compute: Callable[..., Any]
    gates: int = 1
    activates: bool = False
    kept: bool = True

    @property
    def mixes(self) -> bool:
        """Whether it is a product with weights."""
        return isinstance(self.structure, StateProduct)

    @property
    def sums(self) -> bool:
        """Whether it is a sum of terms, and no part of an activation."""
        return isinstance(self.structure, Terms) and not self.activates


@dataclass(frozen=True)
class Equations:
    """What a step makes of its entries.

    Entries are "x", the states before the step, BEFORE and MEMORY, and the weights "w", "r", "wb",
    "rb", "p_i", "p_o", "p_f".

    Attributes:
        members: in the order in which they are computed.
        ends: the tensors that are the states after the step, by state.
        numbers: constants, by the name of their tensor.
    """

    members: tuple[Equation, ...]
    ends: Mapping[str, str]
    numbers: Mapping[str, float]

    def run(self, e: Ops, known: dict[str, Value], only: Collection[str] | None = None) -> None:
        """Compute what can be computed of what is `known`, and add it there; `only` these."""
        for name, number in self.numbers.items():
            known[name] = e.scalar(number)
        for member in self.members:
            node = member.node
            wanted = only is None or not set(only).isdisjoint(node.outputs)
            if wanted and all(name in known for name in node.inputs):
                made = member.compute(e, *(known[name] for name in node.inputs))
                known.update(
                    zip(node.outputs, made if len(node.outputs) > 1 else [made], strict=True)
                )

    def behind(self, *entries: str) -> frozenset[str]:
        """These tensors, and all that is computed of them."""
        found = set(entries)
        for member in self.members:
            if found.intersection(member.node.inputs):
                found.update(member.node.outputs)
        return frozenset(found)

    def before(self, names: Collection[str], known: Collection[str] = ()) -> frozenset[str]:
        """These tensors, and all that they are computed of, back to what is known."""
        found = set(names)
        for member in self.members[::-1]:
            if found.difference(known).intersection(member.node.outputs):
                found.update(member.node.inputs)
        return frozenset(found)

    @cached_property
    def makers(self) -> dict[str, Equation]:
        """What makes each tensor."""
        return {name: member for member in self.members for name in member.node.outputs}

    @cached_property
    def recurrence(self) -> tuple[str, str] | None:
        """(f, a) where the memory after a step is f * memory + a, and both do not depend on it."""
        if "c" not in self.ends:
            return None
        open_ = self.behind(MEMORY)
        terms = self.makers[self.ends["c"]].node.inputs
        kept, made = (self.makers[name].node for name in terms)
        f = kept.inputs[0]
        return None if f in open_ or made.outputs[0] in open_ else (f, made.outputs[0])

    @cached_property
    def tensors(self) -> frozenset[str]:
        """All that is computed."""
        return frozenset(self.makers)

    @cached_property
    def products(self) -> tuple[Equation, ...]:
        """Products with weights: of the input, of the state, of what is computed in between."""
        return tuple(member for member in self.members if member.mixes)

    @cached_property
    def weighed(self) -> frozenset[str]:
        """What is shared among by contribution: terms of sums, what is multiplied by weights."""
        summed = [member for member in self.members if member.sums]
        found = {name for member in summed for name in member.node.inputs}
        found.update(name for member in self.products for name in member.node.outputs)
        found.update(member.node.inputs[0] for member in self.products)
        return frozenset(name for name in found & self.tensors if self.makers[name].kept)

    def values(
        self, ops: Ops, key: str, given: Mapping[str, Value | None], wanted: Collection[str]
    ) -> dict[str, Value]:
        """Tensors that are wanted, and the states before, of all steps [steps, batch, width].

        Args:
            given: "x" [steps, batch, input], BEFORE [steps, batch, hidden] before every step,
                MEMORY [batch, hidden] before the first one, and the weights.
        """
        entries = ("x", BEFORE, MEMORY)
        weights = {k: x for k, x in given.items() if x is not None and k not in entries}
        found = {"x": given["x"], BEFORE: given[BEFORE]}
        first = (set(wanted) | self._border) - self.behind(MEMORY)
        found |= self._run_all(ops, f"{key}/first", {**weights, **found}, first)
        if "c" in self.ends:
            found |= self._memories(ops, key, found, weights, given[MEMORY], wanted)
            rest = set(wanted) - found.keys()
            found |= self._run_all(ops, f"{key}/second", {**weights, **found}, rest)
        return found

    @cached_property
    def _border(self) -> frozenset[str]:
        """What a loop over the memory reads."""
        if "c" not in self.ends or self.recurrence:
            return frozenset(self.recurrence or ())
        steps = self.before([self.ends["c"]]) & self.behind(MEMORY) - {MEMORY}
        read = frozenset(name for step in steps for name in self.makers[step].node.inputs)
        return read - self.behind(MEMORY)

    def _run_all(
        self, ops: Ops, key: str, known: Mapping[str, Value], wanted: Collection[str]
    ) -> dict[str, Value]:
        """Tensors of all steps at once."""
        names = list(known)
        made = [name for member in self.members for name in member.node.outputs if name in wanted]
        needed = self.before(made, known) - known.keys()

        def text(e: Ops, *values: Value) -> tuple[Value, ...]:
            inside = dict(zip(names, values, strict=True))
            self.run(e, inside, needed)
            return tuple(inside[name] for name in made)

        found = _several(ops.apply(key, text, *known.values())) if made else ()
        return dict(zip(made, found, strict=True))

    def _memories(
        self,
        ops: Ops,
        key: str,
        known: Mapping[str, Value],
        weights: Mapping[str, Value],
        start: Value | None,
        wanted: Collection[str],
    ) -> dict[str, Value]:
        """The memory before every step, and what a loop over the steps computes on its way."""
        if self.recurrence is not None:
            f, made = self.recurrence
            return {MEMORY: ops.recur(known[f], known[made], start)}
        rows = {k: known[k] for k in known if k in self._border}
        outside = {k: weights[k] for k in weights if k in self._border}
        steps = self.before([self.ends["c"]]) & self.behind(MEMORY) - {MEMORY}
        results = [name for name in self.makers if name in steps.intersection(wanted)]

        def text(e: Ops, like: Value, start: Value | None, *values: Value) -> Value:
            fixed = dict(zip(outside, values[len(rows) :], strict=True))
            if start is None:
                start = e.Expand(e.zero(), e.Shape(like, start=1))

            def step(e: Ops, carried: Sequence[Value], *row: Value) -> Any:
                inside = {**fixed, **dict(zip(rows, row, strict=True)), MEMORY: carried[0]}
                self.run(e, inside, steps)
                return [inside[self.ends["c"]]], [carried[0], *(inside[name] for name in results)]

            return tuple(e.scan(step, [start], values[: len(rows)])[1])

        values = (known[BEFORE], start, *rows.values(), *outside.values())
        found = _several(ops.apply(f"{key}/memory", text, *values))
        return dict(zip((MEMORY, *results), found, strict=True))


def _several(made: Value) -> tuple[Value, ...]:
    """What a text makes; the eager backend returns one result as it is."""
    return made if isinstance(made, tuple) else (made,)
