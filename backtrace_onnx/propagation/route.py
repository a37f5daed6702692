"""The way of a walk: its nodes, as the plan, the method and their sharing know them."""

from __future__ import annotations

from collections.abc import Callable

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.propagation.last_layer import sharings_from
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode


class Route:
    """The nodes of all walks of one method over a plan, made when the first of these meets them."""

    def __init__(self, plan: Plan, method: Method, sharing_of: Callable[[Node], Sharing]) -> None:
        self._plan, self._method, self._sharing_of = plan, method, sharing_of
        self._nodes: dict[str, PlannedNode] = {}

    def node(self, node: Node) -> PlannedNode:
        """What is known of a node."""
        found = self._nodes.get(node.name)
        if found is None:
            how = (self._plan, self._method, self._sharing_of(node))
            found = self._nodes[node.name] = PlannedNode(node, *how)
        return found


def find_route(plan: Plan, method: Method, start: str = "", *, contrasted: bool = False) -> Route:
    """The route of walks of a method, which is kept with the plan.

    Args:
        start: where slopes travel the tensor that walks start at.
        contrasted: whether they start at one unit against another.
    """
    if method.carrier != "slope":
        return plan.remember(("route", method), lambda: Route(plan, method, lambda node: PLAIN))
    sharing_of = sharings_from(start, plan, method, contrasted=contrasted)
    return plan.remember(
        ("route", method, start, contrasted), lambda: Route(plan, method, sharing_of)
    )


__all__ = ["Route", "find_route"]
