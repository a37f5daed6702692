"""Where sizes of relevance are taken, to tell what blew up from what is large and exact."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from onnx import TensorProto

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.operator_families import (
    AFFINE,
    EXPONENTIAL,
    MOVING,
    NEUTRAL,
    POINTWISE,
    REGION,
    THROUGH_ZERO,
)
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Structure

_SCALING = AFFINE | MOVING | NEUTRAL | {"BatchNormalization"}
_CURVED = (POINTWISE | EXPONENTIAL | {REGION}) - THROUGH_ZERO
"""Functions whose value may be large where what they are functions of is near 0."""


@dataclass(frozen=True)
class Gauges:
    """Where sizes are taken.

    Attributes:
        sharing: the first nodes behind the start, on every way, that share among contributions:
            what they hand on is exact, unless a function lies between that is no head.
        entries: tensors that the model proper begins with: the inputs, or what their own scale and
            shift make of them.
        rounding: of the coarsest numbers that the model computes with, relative; 0: float32's.
        nodes: those that share so, or make entries.
    """

    sharing: frozenset[str]
    entries: frozenset[str]
    rounding: float = 0.0
    nodes: frozenset[str] = frozenset()


NOWHERE = Gauges(frozenset(), frozenset())
_ROUNDINGS: dict[int, float] = {
    TensorProto.FLOAT16: 2.0**-11,
    TensorProto.BFLOAT16: 2.0**-8,
    TensorProto.INT8: 2.0**-8,
    TensorProto.UINT8: 2.0**-8,
}


def find_gauges(plan: Plan, output: str, over: Collection[str] = ()) -> Gauges:
    """The gauges of the walk from `output`.

    Args:
        over: the nodes between the output and scores that relevance starts with.
    """
    names = tuple(over)
    return plan.remember(("gauges", output, names), lambda: _found(plan, output, names))


def _found(plan: Plan, output: str, over: Collection[str]) -> Gauges:
    reached, sharing = {output}, set()
    for node in reversed(plan.graph.nodes):
        structure = plan.structures.get(node.name)
        if structure is None or not structure.carries or not reached.intersection(node.outputs):
            continue
        data = plan.carriers.intersection(node.inputs)
        if _shares(structure) and not (node.op_type in _SCALING and len(data) == 1):
            sharing.add(node.name)
        elif node.op_type not in _CURVED or node.name in over:
            reached.update(data)
    entries = find_entries(plan)
    making = (n.name for n in plan.graph.nodes if not entries.isdisjoint(n.outputs))
    nodes = frozenset(sharing).union(making)
    return Gauges(frozenset(sharing), entries, _rounding(plan), nodes)


def _rounding(plan: Plan) -> float:
    """The largest of `_ROUNDINGS` among tensors that carry relevance."""
    return max((_ROUNDINGS.get(plan.graph.type(x).dtype, 0.0) for x in plan.carriers), default=0.0)


def _shares(structure: Structure) -> bool:
    return type(structure).masses is not Structure.masses


def find_entries(plan: Plan) -> frozenset[str]:
    """Tensors that inputs are, element by element, where they are read as something else."""
    scaled = set(plan.graph.inputs)
    entries: set[str] = set(plan.graph.outputs) & scaled
    for node in plan.graph.nodes:
        structure = plan.structures.get(node.name)
        if structure is None or not structure.carries:
            continue
        data = plan.carriers.intersection(node.inputs)
        if _scales(node, data, scaled):
            scaled.update(filter(None, node.outputs))
            entries.update(scaled.intersection(plan.graph.outputs, node.outputs))
        else:
            entries.update(data & scaled)
    return frozenset(entries)


def _scales(node: Node, data: frozenset[str], scaled: set[str]) -> bool:
    """Whether a node only scales, shifts, moves or joins inputs."""
    if not data <= scaled or node.domain:
        return False
    return node.op_type == "Concat" or (node.op_type in _SCALING and len(data) == 1)
