"""The last layer: what lies between the last function that bends and what is explained.

All that it does to data is one affine map of them, however many nodes write it down. Where slopes
travel its adjoint is handed back whole. A stabiliser would calm nothing there: for one unit it only
scales the map, and it would make the map depend on a constant that is added to all scores, which
changes no answer. So would the signs that `gamma` and its kin go by, where one unit is set against
another: what is explained is neither's value, but their difference.
"""

from __future__ import annotations

from collections.abc import Callable

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.methods.composites import find_sharings
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.structures.base import Structure


def sharings_from(
    start: str, plan: Plan, method: Method, *, contrasted: bool = False
) -> Callable[[Node], Sharing]:
    """How each node shares where slopes travel from a tensor.

    Args:
        start: the tensor where the walk starts.
        contrasted: whether it starts at one unit against another.
    """
    key = ("sharings", start, method, contrasted)
    return plan.remember(key, lambda: _found_from(start, plan, method, contrasted=contrasted))


def _found_from(
    start: str, plan: Plan, method: Method, *, contrasted: bool
) -> Callable[[Node], Sharing]:
    sharing_of = find_sharings(method, plan.graph, plan.carriers)
    last = _last_layer(start, plan, method)
    unruled = Sharing(epsilon=method.epsilon)

    def found(node: Node) -> Sharing:
        sharing = sharing_of(node)
        if not shares(plan.structures.get(node.name), sharing):
            sharing = unruled
        adjoint = sharing.policy is None and sharing.weighed == "contributions"
        return PLAIN if node.name in last and (adjoint or contrasted) else sharing

    return found


def shares(structure: Structure | None, sharing: Sharing) -> bool:
    """Whether a rule has something to say at a node of this structure."""
    if structure is None:
        return False
    if sharing.weighed != "contributions":
        return structure.weighs
    return structure.weighs or type(structure).masses is not Structure.masses


def _last_layer(start: str, plan: Plan, method: Method) -> frozenset[str]:
    """Names of the nodes whose data all that is explained is an affine map of."""
    mapped, bent = {start}, set[str]()
    found = set()
    for node in reversed(plan.graph.nodes):
        structure = plan.structures.get(node.name)
        reached = (mapped | bent).intersection(node.outputs)
        if structure is None or not structure.carries or not reached:
            continue
        planned = PlannedNode(node, plan, method)
        if reached.isdisjoint(bent) and _is_affine(structure, planned):
            found.add(node.name)
            mapped.update(node.inputs)
        else:
            bent.update(node.inputs)
    return frozenset(found)


def _is_affine(structure: Structure, node: PlannedNode) -> bool:
    """Whether the node maps its data so, or selects among them, whatever is added to all."""
    if structure.selects:
        return not any(map(node.is_threshold, range(len(node.node.inputs))))
    whole = structure.rounds or not structure.leaves(node)
    return structure.affine and whole and not structure.bends(node)
