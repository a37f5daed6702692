"""A recurrent cell's step, written once: its equations as nodes, each with its own structure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.activations import Activation
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.products import StateProduct, with_bias

Build = Callable[[Node], Structure]
"""The structure of a node of ONNX, as its rule says it."""

VERSION = 20
"""Of ai.onnx, in whose words the equations are written."""


@dataclass(frozen=True)
class Equation:
    """One node of a step.

    Attributes:
        compute: `(ops, *inputs) -> ` its output, or several; of one step and of all of them.
        gates: how many gates lie side by side in what it makes.
    """

    node: Node
    structure: Structure
    compute: Callable[..., Any]
    gates: int = 1

    @property
    def mixes(self) -> bool:
        """Whether it is a product with weights."""
        return isinstance(self.structure, StateProduct)


@dataclass(frozen=True)
class Equations:
    """What a step makes of its entries.

    Entries are "x", the states before the step, "h" and "c", and the weights "w", "r", "wb", "rb",
    "p_i", "p_o", "p_f".

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

    def before(self, name: str) -> frozenset[str]:
        """This tensor, and all that it is computed of."""
        found = {name}
        for member in self.members[::-1]:
            if found.intersection(member.node.outputs):
                found.update(member.node.inputs)
        return frozenset(found)

    @cached_property
    def makers(self) -> dict[str, Equation]:
        """What makes each tensor."""
        return {name: member for member in self.members for name in member.node.outputs}

    @cached_property
    def recurrence(self) -> tuple[str, str] | None:
        """(f, a) where the memory after a step is f * c + a, and both do not depend on c."""
        if "c" not in self.ends:
            return None
        open_ = self.behind("c")
        terms = self.makers[self.ends["c"]].node.inputs
        kept, made = (self.makers[name].node for name in terms)
        f = kept.inputs[0]
        return None if f in open_ or made.outputs[0] in open_ else (f, made.outputs[0])

    def values(self, ops: Ops, key: str, given: Mapping[str, Value | None]) -> dict[str, Value]:
        """Every tensor of all steps, [steps, batch, width], by name.

        Args:
            given: "x" [steps, batch, input], "h" [steps, batch, hidden] before every step, the
                memory "c" [batch, hidden] before the first one, and the weights.
        """
        weights = {k: x for k, x in given.items() if x is not None and k not in ("x", "h", "c")}
        found = {"x": given["x"], "h": given["h"]}
        found |= self._stage(ops, f"{key}/first", {**weights, **found})
        if "c" in self.ends:
            found["c"] = self._memory(ops, key, found, weights, given["c"])
            found |= self._stage(ops, f"{key}/second", {**weights, **found})
        return found

    def _stage(self, ops: Ops, key: str, known: Mapping[str, Value]) -> dict[str, Value]:
        """What can be computed now."""
        names = list(known)
        made = [
            name
            for member in self.members
            for name in member.node.outputs
            if name not in known
            and self.before(name) - self.numbers.keys() - set(self.makers) <= known.keys()
        ]

        def text(e: Ops, *values: Value) -> tuple[Value, ...]:
            inside = dict(zip(names, values, strict=True))
            self.run(e, inside, made)
            return tuple(inside[name] for name in made)

        results = ops.apply(key, text, *known.values()) if made else ()
        return dict(zip(made, results if len(made) > 1 else [results], strict=False))

    def _memory(
        self,
        ops: Ops,
        key: str,
        known: Mapping[str, Value],
        weights: Mapping[str, Value],
        start: Value | None,
    ) -> Value:
        """The memory before every step."""
        if self.recurrence is not None:
            f, made = self.recurrence
            return ops.recur(known[f], known[made], start)
        needed = self.before(self.ends["c"])
        rows = {k: known[k] for k in known if k in needed}
        inner = {k: weights[k] for k in weights if k in needed}
        open_ = self.behind("c")

        def text(e: Ops, like: Value, start: Value | None, *values: Value) -> Value:
            stacked, outside = values[: len(rows)], values[len(rows) :]
            fixed = dict(zip(inner, outside, strict=True))
            if start is None:
                start = e.Expand(e.zero(), e.Shape(like, start=1))

            def step(e: Ops, carried: Sequence[Value], *row: Value) -> Any:
                inside = {**fixed, **dict(zip(rows, row, strict=True)), "c": carried[0]}
                self.run(e, inside, needed & open_ - {"c"})
                return [inside[self.ends["c"]]], [carried[0]]

            return e.scan(step, [start], stacked)[1][0]

        values = (known["h"], start, *rows.values(), *inner.values())
        return ops.apply(f"{key}/memory", text, *values)


@dataclass
class Writer:
    """Writes equations down: every word makes a node, and returns the name of what that makes.

    Attributes:
        name: first part of the nodes' names.
        build: the structure of a node.
        activations, clip, hidden: of the cell.
        given: the weights that there are.
    """

    name: str
    build: Build
    activations: tuple[Activation, ...]
    hidden: int
    clip: float | None
    given: frozenset[str]
    members: list[Equation] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)

    def linear(self, x: str, weight: str, bias: str) -> str:
        """x W^T + b."""
        inputs = (x, weight, bias) if bias in self.given else (x, weight)
        return self._member("Gemm", inputs, with_bias, StateProduct())

    def sum(self, *terms: str, gates: int = 1) -> str:
        """The sum of some tensors."""
        return self._member("Sum", terms, lambda e, *xs: e.sum(xs), gates=gates)

    def mul(self, a: str, b: str) -> str:
        """a * b."""
        return self._member("Mul", (a, b), lambda e, a, b: e.Mul(a, b))

    def opposite(self, z: str) -> str:
        """1 - z."""
        return self._member("Sub", (self.number(1), z), lambda e, one, z: e.Sub(one, z))

    def split(self, z: str, *sizes: int) -> tuple[str, ...]:
        """Parts of z side by side, of so many gates each."""
        widths = [self.hidden * size for size in sizes]
        node = self._node("Split", (z,), len(sizes), {"axis": -1, "split": widths})
        parts = [ints(width) for width in widths]
        equation = Equation(node, self.build(node), lambda e, z: e.split(z, parts, -1))
        self.members.append(equation)
        return node.outputs

    def act(self, i: int, z: str, *, clipped: bool = True) -> str:
        """Activation `i` of what is clipped first."""
        if clipped and self.clip is not None:
            z = self._run("Clip", (z, self.number(-self.clip), self.number(self.clip)))
        for part in self.activations[i].parts:
            operands = () if part.operand is None else (self.number(part.operand),)
            z = self._run(part.op_type, (z, *operands), part.attributes)
        return z

    def number(self, value: float) -> str:
        """A constant."""
        name = f"number {float(value)!r}"
        self.numbers[name] = float(value)
        return name

    def written(self, ends: Mapping[str, str]) -> Equations:
        """All that was written, of which these are the states after a step."""
        return Equations(tuple(self.members), ends, self.numbers)

    def _run(
        self, op_type: str, inputs: tuple[str, ...], attributes: Mapping[str, Any] | None = None
    ) -> str:
        """An operator of ONNX as it is."""
        node = self._node(op_type, inputs, 1, attributes)
        equation = Equation(node, self.build(node), lambda e, *xs: e.rerun(node, xs)[0])
        self.members.append(equation)
        return node.outputs[0]

    def _member(
        self,
        op_type: str,
        inputs: tuple[str, ...],
        compute: Callable[..., Value],
        structure: Structure | None = None,
        gates: int = 1,
    ) -> str:
        node = self._node(op_type, inputs)
        self.members.append(Equation(node, structure or self.build(node), compute, gates))
        return node.outputs[0]

    def _node(
        self,
        op_type: str,
        inputs: tuple[str, ...],
        count: int = 1,
        attributes: Mapping[str, Any] | None = None,
    ) -> Node:
        name = f"{self.name}/{op_type}{len(self.members)}"
        outputs = tuple(f"{op_type}{len(self.members)}:{k}" for k in range(count))
        return Node(name, "", op_type, VERSION, inputs, outputs, attributes or {})
