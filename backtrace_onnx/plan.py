"""What is known before anything runs: the structure of every node, and what each tensor is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from backtrace_onnx import registry
from backtrace_onnx.backends.base import Gate
from backtrace_onnx.errors import RuleError, Unsupported, UnsupportedError
from backtrace_onnx.graph import Graph, Node
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.fallback import PassesWhereAlike, Stops

OnUnsupported = Literal["error", "pass", "stop"]

_GATES: dict[str, Gate] = {"Tanh": (-2.0, 2.0), "Sigmoid": (-4.0, 4.0)}
_HEAD_GATES: dict[str, Gate] = {"Softmax": (-1.0, 2.0)}
_TRANSPARENT = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})


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
    """

    graph: Graph
    structures: Mapping[str, Structure]
    carriers: frozenset[str]
    integral: frozenset[str]
    nonnegative: frozenset[str]
    infinite: frozenset[str]
    gates: Mapping[str, Gate]
    missing: Mapping[str, str] = field(default_factory=dict)

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
        rows = ((op, tuple(names[::-1]), why) for (op, why), names in sorted(met.items()))
        return tuple(Unsupported(*row) for row in rows)

    def check(self, output: str) -> None:
        """Raises UnsupportedError listing every operator on the way from `output` without a rule."""
        rows = self.unsupported(output)
        if rows:
            raise UnsupportedError(rows)


def make_plan(graph: Graph, on_unsupported: OnUnsupported = "error") -> Plan:
    """Look up every node's rule; what has none stays in `missing` with the remedy."""
    carriers = set(graph.inputs)
    structures: dict[str, Structure] = {}
    missing: dict[str, str] = {}
    for node in graph.nodes:
        if not carriers.intersection(node.inputs):
            continue
        structure = _structure(node, graph, frozenset(carriers), missing, on_unsupported)
        if structure.carries:
            taking = node.outputs if structure.every_output else node.outputs[:1]
            carriers.update(filter(None, taking))
        structures[node.name] = structure
    return Plan(
        graph,
        structures,
        frozenset(carriers),
        _integral(graph, structures),
        _nonnegative(graph),
        _infinite(graph),
        _gates(graph),
        missing,
    )


def _structure(
    node: Node,
    graph: Graph,
    carriers: frozenset[str],
    missing: dict[str, str],
    on_unsupported: OnUnsupported,
) -> Structure:
    rule = registry.lookup(node.domain, node.op_type, node.version)
    if rule is None:
        missing[node.name] = _remedy(node)
    else:
        try:
            return rule.build(registry.Op(node, graph, carriers))
        except RuleError as error:
            missing[node.name] = str(error)
    return PassesWhereAlike(len(node.inputs)) if on_unsupported == "pass" else Stops()


def _remedy(node: Node) -> str:
    if node.op_type in ("If", "Loop", "Scan", "SequenceMap"):
        return "control flow has no rule yet; export the model with static control flow or unrolled"
    if node.domain:
        return "this domain has no rule; write one with @backtrace_onnx.rule(..., domain=...)"
    return "no rule and no schema body; write one with @backtrace_onnx.rule"


def _integral(graph: Graph, structures: Mapping[str, Structure]) -> frozenset[str]:
    """Tensors whose every dependence on the inputs goes through integers or booleans.

    An embedding (a float table looked up by integers) is data of its own.
    """
    found = {name for name in graph.inputs if not graph.type(name).is_float}
    for node in graph.nodes:
        if node.op_type == "OneHot" or _looks_up(node, graph):
            continue
        varying = [i for i in node.inputs if i and i not in graph.constants]
        if all(i in found for i in varying):
            found.update(filter(None, node.outputs))
    return frozenset(found)


def _looks_up(node: Node, graph: Graph) -> bool:
    table = graph.constants.get(node.inputs[0]) if node.inputs else None
    return (
        node.op_type in ("Gather", "GatherND", "GatherElements")
        and table is not None
        and table.dtype.kind == "f"
    )


_MAKES_NONNEGATIVE = frozenset(
    "Relu Sigmoid HardSigmoid Softmax Exp Abs Sqrt Softplus ReduceL1 ReduceL2 ReduceSumSquare "
    "LpPool GlobalLpPool Hardmax".split()
)
_KEEPS_NONNEGATIVE = frozenset(
    "MaxPool AveragePool GlobalAveragePool GlobalMaxPool Reshape Flatten Squeeze Unsqueeze Transpose "
    "Identity Dropout Slice Split Add Mul Max Min Sum Mean Concat ReduceMean ReduceSum ReduceMax ReduceMin "
    "Expand Tile Gather DepthToSpace SpaceToDepth Cast Erf Sqrt".split()
)


def _nonnegative(graph: Graph) -> frozenset[str]:
    found = {
        name
        for name, value in graph.constants.items()
        if value.dtype.kind in "fiu" and value.size and bool((value >= 0).all())
    }
    for node in graph.nodes:
        known = node.op_type in _MAKES_NONNEGATIVE
        if node.op_type == "Clip":
            low = node.attributes.get("min")
            if low is None and len(node.inputs) > 1 and node.inputs[1] in graph.constants:
                low = float(graph.constants[node.inputs[1]])
            known = low is not None and low >= 0
        if node.op_type in _KEEPS_NONNEGATIVE and not node.domain:
            data = [i for i in node.inputs if i and graph.type(i).is_float]
            known = bool(data) and all(i in found for i in data)
        if known:
            found.update(filter(None, node.outputs))
    return frozenset(found)


_FINITE = frozenset("Softmax LogSoftmax Exp Sigmoid Tanh Clip HardSigmoid Relu IsInf".split())


def _infinite(graph: Graph) -> frozenset[str]:
    found = {
        name
        for name, value in graph.constants.items()
        if value.dtype.kind == "f" and bool(np.isinf(value).any())
    }
    for node in graph.nodes:
        if node.op_type not in _FINITE and found.intersection(node.inputs):
            found.update(filter(None, node.outputs))
    return frozenset(found)


def _gates(graph: Graph) -> dict[str, Gate]:
    """Gate of every node whose output goes, perhaps reshaped, into a saturating activation."""
    gates: dict[str, Gate] = {}
    for node in graph.nodes:
        gate = _GATES.get(node.operator)
        if node.operator in _HEAD_GATES and _is_head(node, graph):
            gate = _HEAD_GATES[node.operator]
        if gate is None:
            continue
        source = graph.producers.get(node.inputs[0])
        while source is not None and source.operator in _TRANSPARENT:
            source = graph.producers.get(source.inputs[0])
        if source is not None:
            gates[source.name] = gate
    return gates


def _is_head(node: Node, graph: Graph) -> bool:
    tensor = node.outputs[0]
    while tensor not in graph.outputs:
        users = graph.consumers.get(tensor, ())
        if len(users) != 1 or users[0].operator not in _TRANSPARENT | {"Identity"}:
            return False
        tensor = users[0].outputs[0]
    return True
