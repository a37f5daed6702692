"""What a model lacks, before its control flow is known: operators without a rule, in bodies too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import onnx

from backtrace_onnx.control.straightening import WRITTEN_OUT
from backtrace_onnx.errors import RuleError, Unsupported
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.topology import name_nodes
from backtrace_onnx.ops.op import Op
from backtrace_onnx.passes.expanding import refusal
from backtrace_onnx.passes.schema_bodies import is_known
from backtrace_onnx.propagation.plan import Plan, remedy
from backtrace_onnx.rules import registry
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.fallback import Stops


def survey(graph: Graph) -> Plan:
    """The plan of a model that is not written out yet: good for what it lacks, not for a walk."""
    carriers = set(graph.inputs)
    structures: dict[str, Structure] = {}
    missing: dict[str, str] = {}
    bodies: dict[str, tuple[Unsupported, ...]] = {}
    for node in graph.nodes:
        if not carriers.intersection(node.inputs):
            continue
        structure = structures[node.name] = _structure(node, graph, carriers, missing)
        if structure.carries:
            taking = node.outputs if structure.every_output else node.outputs[:1]
            carriers.update(filter(None, taking))
        bodies[node.name] = tuple(_lacking(node, graph.opsets))
    nothing: frozenset[str] = frozenset()
    return Plan(
        graph, structures, frozenset(carriers), nothing, nothing, nothing, {}, missing, bodies
    )


def inner_nodes(node: Node) -> Iterator[tuple[str, onnx.NodeProto]]:
    """Nodes of the bodies of a node, those of bodies inside them included, as `node/inner`."""
    for value in node.attributes.values():
        for graph in _graphs(value):
            yield from _named(node.name, graph)


def _named(prefix: str, graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.NodeProto]]:
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    name_nodes(copy)
    for inner in copy.node:
        yield f"{prefix}/{inner.name}", inner
        for attribute in inner.attribute:
            if attribute.HasField("g"):
                yield from _named(f"{prefix}/{inner.name}", attribute.g)


def _graphs(value: Any) -> list[onnx.GraphProto]:
    return [value] if isinstance(value, onnx.GraphProto) else []


def _structure(node: Node, graph: Graph, carriers: Set[str], missing: dict[str, str]) -> Structure:
    if node.operator in WRITTEN_OUT:
        return Stops()
    rule = registry.lookup(node.domain, node.op_type, node.version)
    if rule is None:
        missing[node.name] = refusal(Op(node, graph, carriers)) or remedy(node)
        return Stops()
    try:
        return rule.build(Op(node, graph, carriers))
    except RuleError:  # shapes behind control flow are known when it is written out
        return Stops()


def _lacking(node: Node, opsets: Mapping[str, int]) -> Iterator[Unsupported]:
    for name, inner in inner_nodes(node):
        if inner.op_type not in WRITTEN_OUT and not is_known(inner, opsets):
            domain = canonical(inner.domain)
            stands = Node(name, domain, inner.op_type, opsets.get(domain, 1), (), ())
            yield Unsupported(stands.operator, (name,), remedy(stands))
