"""Regions: nodes that are read as one operator, through which relevance passes.

A region keeps the nodes that it stands for. Tensors inside that have its shape stay addressable as
aliases; the others have no relevance of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.operator_families import DOMAIN, REGION


def body(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes of the model that these stand for, in order: regions are taken apart."""
    waiting, found = list(nodes)[::-1], []
    while waiting:
        node = waiting.pop()
        if is_region(node):
            waiting.extend(reversed(node.attributes["members"]))
        else:
            found.append(node)
    return tuple(found)


def beside(node: Node) -> tuple[Node, ...]:
    """Nodes that tell those inside of a region shapes, in order."""
    if not is_region(node):
        return ()
    inner = (found for member in node.attributes["members"] for found in beside(member))
    every = (*inner, *node.attributes.get("beside", ()))
    return tuple({found.name: found for found in every}.values())


def kinds(node: Node) -> frozenset[str]:
    """Types of the operators that a node stands for: its own, or those inside of a region."""
    return node.attributes["kinds"] if is_region(node) else frozenset({node.op_type})


def is_region(node: Node) -> bool:
    """Whether a node is a region."""
    return node.domain == DOMAIN and node.op_type == REGION
