"""Concat, Sum, Mean, Max and Min of one tensor, which are that tensor."""

from __future__ import annotations

from dataclasses import replace

from backtrace_onnx.graph.graph import Graph, Node

_OF_SEVERAL = frozenset({"Concat", "Max", "Mean", "Min", "Sum"})


def read_single(graph: Graph) -> Graph:
    """The graph with every join of one tensor as an Identity."""
    if not any(_is_single(node) for node in graph.nodes):
        return graph
    nodes = (
        replace(node, op_type="Identity", attributes={}) if _is_single(node) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def _is_single(node: Node) -> bool:
    return node.op_type in _OF_SEVERAL and not node.domain and len(node.inputs) == 1


__all__ = ["read_single"]
