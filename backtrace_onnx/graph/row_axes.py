"""Rows of a tensor that depend on no other rows: where they lie in what it was made of.

A query of attention is such a row: its scores, their softmax and what it reads of the values are
its own, while keys and values are read whole by every query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from backtrace_onnx.graph.graph import Graph, Node, Shape
from backtrace_onnx.graph.operator_families import (
    COMBINING,
    EXPONENTIAL,
    NEUTRAL,
    POINTWISE,
    REDUCING,
)
from backtrace_onnx.graph.regions import is_region, kinds

_QUANTISING = frozenset({"DequantizeLinear", "QuantizeLinear"})
_ELEMENTWISE = (COMBINING | NEUTRAL | POINTWISE | {"Neg"}) - _QUANTISING
_WHOLE_AXES = 13  # before this version a softmax goes over all axes from its own on


@dataclass(frozen=True)
class Rows:
    """Where rows lie in a tensor.

    Attributes:
        axis: along which they lie.
        groups: how often all of them lie there, one time after the other.
    """

    axis: int
    groups: int = 1


def sources(graph: Graph, node: Node, rows: Rows) -> Mapping[int, Rows] | None:
    """By input where the rows lie of which those of the node's first output are made.

    An input left out is read whole by every row. None where a row depends on others, or where that
    is not known.
    """
    rank = graph.type(node.outputs[0]).rank
    ranks = [graph.type(name).rank for name in node.inputs if name]
    if rank is None or None in ranks:
        return None
    if is_region(node):
        return _of_region(graph, node, rows)
    if node.domain:
        return None
    if node.op_type in _ELEMENTWISE:
        return _aligned(graph, node, rows, range(len(node.inputs)))
    of = {"MatMul": _of_product, "Transpose": _of_transpose, "Reshape": _of_reshape}
    if node.op_type in EXPONENTIAL:
        return _of_softmax(node, rows, rank)
    return of[node.op_type](graph, node, rows) if node.op_type in of else None


def _shape(graph: Graph, name: str) -> Shape:
    return graph.type(name).shape or ()


def _aligned(graph: Graph, node: Node, rows: Rows, inputs: range) -> dict[int, Rows]:
    """Of inputs that are broadcast against each other."""
    rank, found = len(_shape(graph, node.outputs[0])), {}
    for i in (i for i in inputs if node.inputs[i]):
        shape = _shape(graph, node.inputs[i])
        axis = rows.axis - (rank - len(shape))
        if axis >= 0 and shape[axis] != 1:
            found[i] = Rows(axis, rows.groups)
    return found


def _of_region(graph: Graph, node: Node, rows: Rows) -> dict[int, Rows] | None:
    native, inside = node.attributes.get("native"), kinds(node)
    alike = graph.type(node.inputs[0]).rank == graph.type(node.outputs[0]).rank
    if len(node.inputs) > 1 or not alike or not inside <= _ELEMENTWISE | REDUCING | EXPONENTIAL:
        return None
    if inside <= _ELEMENTWISE:
        return _aligned(graph, node, rows, range(1))
    along = None if native is None else native.axis
    return None if along in (None, rows.axis) else {0: rows}


def _of_softmax(node: Node, rows: Rows, rank: int) -> dict[int, Rows] | None:
    old = node.version < _WHOLE_AXES
    axis = int(node.attributes.get("axis", 1 if old else -1)) % rank
    mixed = rows.axis >= axis if old else rows.axis == axis
    return None if mixed else {0: rows}


def _of_product(graph: Graph, node: Node, rows: Rows) -> dict[int, Rows] | None:
    rank, *ranks = (len(_shape(graph, x)) for x in (node.outputs[0], *node.inputs[:2]))
    if min(ranks) < 2:
        return None
    added = _aligned(graph, node, rows, range(2, len(node.inputs)))  # a bias
    behind = rank - rows.axis
    if behind > 2:
        return {**_aligned(graph, node, rows, range(2)), **added}
    own = 2 - behind
    return {own: Rows(ranks[own] - behind, rows.groups), **added}


def _of_transpose(graph: Graph, node: Node, rows: Rows) -> dict[int, Rows]:
    rank = len(_shape(graph, node.outputs[0]))
    perm = node.attributes.get("perm") or range(rank)[::-1]
    return {0: Rows(int(perm[rows.axis]), rows.groups)}


def _of_reshape(graph: Graph, node: Node, rows: Rows) -> dict[int, Rows] | None:
    """Where an axis takes the factor of another before it into itself, or gives it back.

    The rows' own length must not be in the target, so that it fits some of them as well.
    """
    target = graph.constants.get(node.inputs[1])
    before, after = _shape(graph, node.inputs[0]), _shape(graph, node.outputs[0])
    at = rows.axis
    if target is None or node.attributes.get("allowzero") or len(before) != len(after):
        return None
    if target[at] != -1 or any(target[i] not in (0, before[i]) for i in range(at + 1, len(after))):
        return None
    changed = [(before[i], target[i]) for i in range(at) if target[i] != 0]
    if not all(isinstance(n, int) for n, _ in changed):
        return None
    groups = rows.groups * Fraction(
        prod(int(m) for _, m in changed), prod(int(n or 1) for n, _ in changed)
    )
    return {0: Rows(at, int(groups))} if groups.denominator == 1 and groups > 0 else None


__all__ = ["Rows", "sources"]
