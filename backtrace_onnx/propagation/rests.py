"""Tensors that books need not weigh: what their only reader sends them is what it has left.

An operator that only lays out again, multiplies or adds hands on all that it has (`conserves`).
The relevance of one of its inputs is then known without its values: the run need not return them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.propagation.gauges import find_entries
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Structure


def find_rests(plan: Plan) -> Mapping[str, int]:
    """By node: the input that is sent what is left, where slopes travel."""
    return plan.remember("rests", lambda: _found(plan))


def rests_among(plan: Plan, tensors: Collection[str]) -> frozenset[str]:
    """Those of the tensors that are not weighed unless somebody asks for it."""
    if not tensors:
        return frozenset()
    return plan.remember("tensors that rest", lambda: _tensors(plan)).intersection(tensors)


def _tensors(plan: Plan) -> frozenset[str]:
    rests = find_rests(plan)
    nodes = (node for node in plan.graph.nodes if node.name in rests)
    return frozenset(node.inputs[rests[node.name]] for node in nodes)


def _found(plan: Plan) -> dict[str, int]:
    makers = {name: node for node in plan.graph.nodes for name in node.outputs}
    entries, found = find_entries(plan), {}
    for node in plan.graph.nodes:
        structure = plan.structures.get(node.name)
        if structure is None or not structure.conserves or not _is_plain(node.outputs[0], plan):
            continue
        for i, name in enumerate(node.inputs):
            maker = plan.structures.get(makers[name].name) if name in makers else None
            if name in entries or maker is None or not is_usual(maker):
                continue
            if _is_own(node, i, plan) and _is_plain(name, plan) and _fits(node, i, plan):
                found[node.name] = i
                break
    return found


def _is_own(node: Node, i: int, plan: Plan) -> bool:
    """Whether an input is data that this node alone reads, once."""
    graph, name = plan.graph, node.inputs[i]
    if name not in plan.carriers or node.inputs.count(name) > 1:
        return False
    if name in graph.outputs or name in graph.kept or name in graph.computed:
        return False
    readers = (plan.structures.get(reader.name) for reader in graph.consumers[name])
    return sum(reader is not None and reader.carries for reader in readers) == 1


def _is_plain(name: str, plan: Plan) -> bool:
    """Whether a tensor holds finite floats, and it is known where samples lie, or there is one."""
    own, odd = plan.graph.type(name), (plan.integral, plan.infinite, plan.undefined)
    known = name in plan.graph.samples or (own.shape or (0,))[0] == 1
    return own.is_float and known and not any(name in others for others in odd)


def _fits(node: Node, i: int, plan: Plan) -> bool:
    """Whether an input has the output's dtype, and its shape unless it is laid out again."""
    own, full = (plan.graph.type(name) for name in (node.inputs[i], node.outputs[0]))
    broadcast = i in plan.structures[node.name].broadcasts
    alike = own.shape == full.shape and own.shape is not None and None not in own.shape
    return own.dtype == full.dtype and (alike or not broadcast)


def is_usual(structure: Structure) -> bool:
    """Whether a node's outputs are worth what their slopes and values say, as they are."""
    return not structure.bare and type(structure).unit is Structure.unit


__all__ = ["find_rests", "is_usual", "rests_among"]
