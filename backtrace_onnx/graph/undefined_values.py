"""Values that need not exist: NaN that stands for what is missing, and NaN and infinities that the
model computes and then does not choose.

What is written for every case, such as log(x) in a branch for x > 0, is undefined in the others. No
relevance reaches it there, but a unit cannot be shared by NaN: 0 * NaN is none. So where rules read
such a tensor, what is undefined in it counts as 0 and is sent nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.missing_values import imputes_nan, takes_missing

_PARTIAL = frozenset(["Acos", "Acosh", "Asin", "Atanh", "Exp", "Log", "Reciprocal", "Sqrt"])
"""Undefined, or infinite, for some of what they are given."""


def undefined(graph: Graph) -> frozenset[str]:
    """Tensors that may be undefined where another value is chosen behind them."""
    choosers = [node for node in graph.nodes if any(_chosen(node))]
    if not choosers:
        return frozenset()
    found = {name for name in graph.inputs if takes_missing(graph, name)}
    for node in graph.nodes:
        if _is_partial(node, graph) or (found.intersection(node.inputs) and not any(_chosen(node))):
            found.update(filter(None, node.outputs))
    wanted = {name for node in choosers for name in _chosen(node)} & found
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs) and not any(_chosen(node)):
            wanted |= found.intersection(node.inputs)
    return frozenset(name for name in wanted if graph.type(name).is_float)


def _chosen(node: Node) -> Iterator[str]:
    """Inputs of a node that it takes some values of and leaves others."""
    if node.operator == "Where":
        yield from node.inputs[1:]
    if imputes_nan(node):
        yield node.inputs[0]


def _is_partial(node: Node, graph: Graph) -> bool:
    """Whether a node may make NaN or infinity of finite numbers."""
    if node.operator in ("Div", "Mod"):
        return node.inputs[1] not in graph.constants
    if node.operator == "Pow":
        power = graph.constants.get(node.inputs[1])
        return power is None or bool(np.any((power < 0) | (power != np.round(power))))
    return node.operator in _PARTIAL
