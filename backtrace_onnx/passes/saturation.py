"""Which linear nodes have a saturation gate: those before a saturating activation."""

from __future__ import annotations

from collections.abc import Mapping

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.regions import is_region, kinds
from backtrace_onnx.graph.traits import TRANSPARENT, is_head, readers
from backtrace_onnx.ops.gates import GATES, HEAD_GATES, Gate
from backtrace_onnx.passes.regions.identification import function_of, may_saturate


def gates(graph: Graph) -> Mapping[str, Gate]:
    """The gate of every node whose output goes into a saturating activation and nowhere else.

    Between the two may lie reshapes, transpositions and changes of scale.
    """
    found: dict[str, Gate] = {}
    for node in graph.nodes:
        source = _followed(node, graph) if _may_saturate(node) else None
        function = node.operator if source is None else _function(node, graph)
        gate = GATES.get(function)
        if function in HEAD_GATES and is_head(node.outputs[0], graph):
            gate = HEAD_GATES[function]
        if gate is not None and source is not None:
            found[source.name] = gate
    return found


def _may_saturate(node: Node) -> bool:
    if is_region(node):
        return may_saturate(kinds(node))
    return node.operator in GATES or node.operator in HEAD_GATES


def _function(node: Node, graph: Graph) -> str:
    """The activation that a node is, however it was written."""
    return function_of(node, graph) if is_region(node) else node.operator


def _followed(node: Node, graph: Graph) -> Node | None:
    """The node an activation follows, if nothing else reads what it makes."""
    tensor = node.inputs[0]
    while len(readers(tensor, graph)) == 1:
        source = graph.producers.get(tensor)
        if source is None or source.operator not in TRANSPARENT:
            return source
        tensor = source.inputs[0]
    return None
