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
    """The nodes of all walks of one method over a plan, made when the first of these meets them.

    Attributes:
        nodes: by name what is known of those that were met.
    """

    def __init__(
        self,
        plan: Plan,
        method: Method,
        sharing_of: Callable[[Node], Sharing],
        weighed: frozenset[str] = frozenset(),
    ) -> None:
        self._plan, self._method = plan, method
        self._sharing_of, self._weighed = sharing_of, weighed
        self.nodes: dict[str, PlannedNode] = {}

    def plan(self, node: Node) -> PlannedNode:
        """What is known of a node that no walk has met."""
        how = (self._plan, self._method, self._sharing_of(node), self._weighed)
        found = self.nodes[node.name] = PlannedNode(node, *how)
        return found


def find_route(
    plan: Plan,
    method: Method,
    start: str = "",
    *,
    contrasted: bool = False,
    weighed: frozenset[str] = frozenset(),
) -> Route:
    """The route of walks of a method, which is kept with the plan.

    Args:
        start: where slopes travel the tensor that walks start at.
        contrasted: whether they start at one unit against another.
        weighed: tensors that are weighed by their values, whoever reads them.
    """
    if method.carrier != "slope":
        return plan.remember(("route", method), lambda: Route(plan, method, lambda node: PLAIN))
    sharing_of = sharings_from(start, plan, method, contrasted=contrasted)
    return plan.remember(
        ("route", method, start, contrasted, weighed),
        lambda: Route(plan, method, sharing_of, weighed),
    )


__all__ = ["Route", "find_route"]
