"""Where the channels, heads or units of a tensor lie, as far as the operators around it tell."""

from __future__ import annotations

from backtrace_onnx.graph.channel_axes import MOVES, ChannelAxes
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import (
    COMBINING,
    CONVOLUTIONS,
    EXPONENTIAL,
    NEUTRAL,
    NORMALISING,
    POINTWISE,
    POOLING,
    PRODUCTS,
    REGION,
    SCALE,
)

_SPATIAL = (
    frozenset({"AveragePool", "BatchNormalization", "InstanceNormalization", "LpPool", "MaxPool"})
    | CONVOLUTIONS
    | POOLING
)
"""Operators whose channels are the second axis, of what they read and of what they make."""

_KEEPING = (
    COMBINING
    | EXPONENTIAL
    | NEUTRAL
    | NORMALISING
    | POINTWISE
    | {"Concat", "Pad", "Resize", REGION, SCALE}
)


def channel_axis(graph: Graph, tensor: str) -> int | None:
    """The axis of a tensor that holds its channels, or its heads where it is split by these.

    Convolutions have channels on their second axis, dense layers on their last one, products of
    two tensors of data [samples, heads, ..., ...] heads on their second one. Operators that move
    elements are followed. None where nothing tells.
    """
    found: dict[str, ChannelAxes] = {}
    for node in reversed(list(graph.ancestors(tensor))):
        made = _made(graph, node, found)
        if made is not None:
            found[node.outputs[0]] = made
    if tensor in found:
        return found[tensor].axes[0]
    return _read(graph, tensor)


def _made(graph: Graph, node: Node, found: dict[str, ChannelAxes]) -> ChannelAxes | None:
    """Where the channels of a node's first output lie."""
    name = node.outputs[0]
    if node.op_type in _SPATIAL:
        return _at(graph, name, 1)
    if node.op_type in PRODUCTS:
        weighed = any(own in graph.constants for own in node.inputs[:2])
        rank = graph.type(name).rank or 0
        return _at(graph, name, -1 if weighed else 1) if weighed or rank == 4 else None
    before = next((found[own] for own in node.inputs if own in found), None)
    if before is None:
        return None
    if node.op_type in MOVES and node.op_type not in NEUTRAL:
        return MOVES[node.op_type](graph, node, before)
    keeps = node.op_type in _KEEPING and graph.type(name).rank == before.rank
    return before if keeps else None


def _read(graph: Graph, tensor: str) -> int | None:
    """Where the channels of a tensor lie by what reads it."""
    for node in graph.consumers.get(tensor, ()):
        rank = graph.type(tensor).rank
        if node.op_type in _SPATIAL and node.inputs[0] == tensor and rank:
            return 1
        if node.op_type in PRODUCTS and rank and node.inputs[1] in graph.constants:
            return rank - 1
    return None


def _at(graph: Graph, tensor: str, axis: int) -> ChannelAxes | None:
    shape = graph.type(tensor).shape
    if shape is None or len(shape) < 2:
        return None
    size = shape[axis]
    place = axis % len(shape)
    return ChannelAxes((place,), len(shape), (size if isinstance(size, int) else 0,))


__all__ = ["channel_axis"]
