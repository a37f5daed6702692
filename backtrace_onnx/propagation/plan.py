"""What is known before anything runs: the structure of every node, and what every tensor is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import onnx

from backtrace_onnx.errors import RuleError, Unsupported, UnsupportedError
from backtrace_onnx.graph import traits
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.ids import find_ids
from backtrace_onnx.graph.operator_families import COLUMNWISE
from backtrace_onnx.graph.undefined_values import undefined
from backtrace_onnx.graph.validity import blaming
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.op import Op
from backtrace_onnx.passes.expanding import refusal
from backtrace_onnx.passes.saturation import gates
from backtrace_onnx.rules import registry
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.fallback import PassesWhereAlike, Stops

OnUnsupported = Literal["error", "pass", "stop"]
Found = TypeVar("Found")
_LISTS = (
    "it reads a sequence that holds no tensors, but sequences or maps, or one that no operator of "
    "ai.onnx makes; only tensors carry relevance: give the model these, or lists of them"
)
_WAITING = {
    "Scan": "before opset 9 it scans batches, which is not read; convert the model to opset 9",
    "SequenceAt": _LISTS,
    "SequenceLength": _LISTS,
    "ConcatFromSequence": _LISTS,
    "OptionalGetElement": _LISTS,
    "OptionalHasElement": _LISTS,
}


@dataclass(frozen=True)
class Plan:
    """How relevance will travel through a graph.

    Attributes:
        structures: structure of every node that carries relevance, by node name.
        carriers: tensors that take relevance.
        integral: tensors that descend from integers and booleans only.
        nonnegative: tensors known to have no negative entry.
        infinite: tensors that may hold infinities: they descend from a constant that does.
        gates: saturation gate of linear nodes followed by a saturating activation.
        missing: why a node cannot be explained, by its name.
        bodies: what cannot be explained in the bodies of control flow not written out yet.
        undefined: tensors that may hold NaN where another value is chosen behind them.
    """

    graph: Graph
    structures: Mapping[str, Structure]
    carriers: frozenset[str]
    integral: frozenset[str]
    nonnegative: frozenset[str]
    infinite: frozenset[str]
    gates: Mapping[str, Gate]
    missing: Mapping[str, str] = field(default_factory=dict)
    bodies: Mapping[str, tuple[Unsupported, ...]] = field(default_factory=dict)
    undefined: frozenset[str] = frozenset()

    @cached_property
    def _remembered(self) -> dict[Hashable, Any]:
        return {}

    def remember(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` tells of the plan, known by `key`; it is asked once."""
        if key not in self._remembered:
            self._remembered[key] = find()
        found: Found = self._remembered[key]
        return found

    def raised(self, node: str, structure: Structure) -> Plan:
        """The plan with a structure that differs from the node's in nothing but its bias, so that
        all that is remembered of the plan holds."""
        made = replace(self, structures={**self.structures, node: structure})
        known = {name: getattr(self, name) for name in ("_remembered", "bounded", "opened")}
        made.__dict__.update(known)
        return made

    @cached_property
    def bounded(self) -> frozenset[str]:
        """Nodes behind which no function may be infinitely steep."""
        found, steep = set(), set[str]()
        for node in reversed(self.graph.nodes):
            structure = self.structures.get(node.name)
            if structure is None or not structure.carries:
                continue
            ends = not steep.intersection(node.outputs)
            found.update([node.name] if ends else [])
            steep.update([] if ends and structure.bounded else node.inputs)
        return frozenset(found)

    @cached_property
    def opened(self) -> Mapping[str, str]:
        """By tensor that max(0, x) alone reads: what that makes of it. Where slopes have passed
        there, both are worth the same."""
        kept, found = {*self.graph.outputs, *self.graph.kept}, {}
        for name, readers in self.graph.consumers.items():
            structure = self.structures.get(readers[0].name)
            if len(readers) == 1 and structure is not None and structure.switches:
                found.update({} if name in kept else {name: readers[0].outputs[0]})
        return found

    def unsupported(self, output: str) -> tuple[Unsupported, ...]:
        """A row for every operator without a rule that relevance from `output` would meet."""
        reached = {output}
        met: dict[tuple[str, str], list[str]] = {}
        for node in reversed(self.graph.nodes):
            structure = self.structures.get(node.name)
            if structure is None or not structure.carries or not reached.intersection(node.outputs):
                continue
            reached.update(node.inputs)
            if node.name in self.missing:
                met.setdefault((node.operator, self.missing[node.name]), []).append(node.name)
            for row in self.bodies.get(node.name, ())[::-1]:
                met.setdefault((row.operator, row.reason), []).extend(row.nodes)
        rows = ((op, tuple(names[::-1]), why) for (op, why), names in sorted(met.items()))
        return tuple(Unsupported(*row) for row in rows)

    def slopeless(self, output: str) -> Mapping[str, Sequence[str]]:
        """Names of the nodes behind `output` that have no slope, by operator."""
        met: dict[str, list[str]] = {}
        for node in tuple(self.graph.ancestors(output))[::-1]:
            structure = self.structures.get(node.name)
            if structure is None or not structure.carries or structure.has_slopes:
                continue
            if not structure.converts and any(self.graph.type(n).is_float for n in node.outputs):
                met.setdefault(node.operator, []).append(node.name)
        return met

    def check_slopes(self, output: str, method: Method) -> None:
        """Raises UnsupportedError listing every operator behind `output` that has no slope by a
        method."""
        self.remember(("slopes", output, method), lambda: self._check_slopes(output, method))

    def _check_slopes(self, output: str, method: Method) -> None:
        met: dict[tuple[str, str], list[str]] = {}
        for node in tuple(self.graph.ancestors(output))[::-1]:
            structure = self.structures.get(node.name)
            if structure is None or not structure.carries or structure.converts:
                continue
            why = structure.refuses(method)
            met_floats = (*node.outputs, *node.inputs[:1])  # integers may stand for floats
            if why is not None and any(self.graph.type(n).is_float for n in met_floats):
                met.setdefault((node.operator, f"mode {method.name!r} {why}"), []).append(node.name)
        if met:
            rows = sorted(met.items())
            raise UnsupportedError(
                tuple(Unsupported(op, tuple(names), why) for (op, why), names in rows),
                "Choose another mode, such as auto, which takes one that explains the model.",
            )

    def column(self, node: Node) -> int | None:
        """The input of a node that makes every element of one at its place; None of others."""
        if node.op_type not in COLUMNWISE:
            return None
        data = [i for i, name in enumerate(node.inputs) if name in self.carriers]
        if len(data) != 1:
            return None
        own, made = (self.graph.type(x).shape for x in (node.inputs[data[0]], node.outputs[0]))
        return data[0] if own is not None and own == made else None

    def held(self, output: str) -> tuple[str, ...]:
        """Operators behind `output` with an input that slopes do not go through, though it is
        data and the result depends on it."""
        return self.remember(("held", output), lambda: self._held(output))

    def _held(self, output: str) -> tuple[str, ...]:
        found = {
            node.operator
            for node in self.graph.ancestors(output)
            if (structure := self.structures.get(node.name)) is not None
            for i in structure.held
            if i < len(node.inputs)
            and node.inputs[i] in self.carriers - self.integral
            and self.graph.type(node.inputs[i]).is_float
        }
        return tuple(sorted(found))

    def check(self, output: str) -> None:
        """Raises UnsupportedError listing every operator without a rule behind `output`."""
        rows = self.unsupported(output)
        if rows:
            raise UnsupportedError(rows)

    def ends(self, output: str) -> tuple[Node, ...]:
        """Nodes at which every way from `output` to the inputs ends; none where one leads on."""
        if output in self.carriers:
            return ()
        nodes = [n for n in self.graph.ancestors(output) if self.carriers.intersection(n.inputs)]
        return tuple(n for n in nodes[::-1] if not self.structures[n.name].carries)


def make_plan(graph: Graph, on_unsupported: OnUnsupported = "error") -> Plan:
    """The plan of a graph: asks the rule of every node that an input reaches what the node is.

    A node without a rule is kept in `missing`, with what to do about it; in its place relevance
    stops, or passes, as `on_unsupported` says.
    """
    carriers = set(graph.inputs)
    structures: dict[str, Structure] = {}
    missing: dict[str, str] = {}
    ids = find_ids(graph)
    for node in graph.nodes:
        if not carriers.intersection(node.inputs):
            continue
        op = Op(node, graph, carriers, ids)
        structure = _structure(op, missing, on_unsupported)
        if structure.carries:
            taking = node.outputs if structure.every_output else node.outputs[:1]
            carriers.update(filter(None, taking))
        structures[node.name] = structure
    return Plan(
        graph,
        structures,
        frozenset(carriers),
        traits.integral(graph),
        traits.nonnegative(graph),
        traits.infinite(graph),
        gates(graph),
        missing,
        undefined=undefined(graph),
    )


def _structure(op: Op, missing: dict[str, str], on_unsupported: OnUnsupported) -> Structure:
    node = op.node
    rule = registry.lookup(node.domain, node.op_type, node.version)
    if rule is None:
        missing[node.name] = refusal(op) or remedy(node)
    else:
        try:
            with blaming([node], op.graph.opsets):
                return rule.build(op)
        except RuleError as error:
            missing[node.name] = str(error).removeprefix(f"{node.operator} node {node.name!r}: ")
    return PassesWhereAlike(len(node.inputs)) if on_unsupported == "pass" else Stops()


def remedy(node: Node) -> str:
    """Why an operator without a rule has none, and what to do."""
    if node.domain:
        return (
            "this domain has no rule; write one with "
            f"@backtrace_onnx.rule({node.op_type!r}, domain={node.domain!r})"
        )
    if node.op_type in _WAITING:
        return _WAITING[node.op_type]
    if not onnx.defs.has(node.op_type):
        return "ONNX has no such operator; check how the model was made"
    return f"no rule and no schema body; write one with @backtrace_onnx.rule({node.op_type!r})"
