"""Where the channels of a linear operator lie after reshapes, transpositions and slices.

A constant scale or shift somewhere behind the operator is read as part of it if it varies along the
channels only; so they are followed. A move that does not keep them together gives None.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np

from backtrace_onnx.graph.graph import Graph, Node, Shape


class ChannelAxes(NamedTuple):
    """The axes along which channels lie: one, or several where a reshape split it, as into heads.

    Attributes:
        axes: these axes, the slowest first. rank: number of axes of the tensor.
        sizes: sizes of `axes`; their product is the number of channels.
    """

    axes: tuple[int, ...]
    rank: int
    sizes: tuple[int, ...]


def _transposed(graph: Graph, node: Node, where: ChannelAxes) -> ChannelAxes | None:
    rank = graph.type(node.outputs[0]).rank
    perm = node.attributes.get("perm") or (None if rank is None else tuple(range(rank))[::-1])
    if perm is None:
        return None
    return ChannelAxes(tuple(perm.index(axis) for axis in where.axes), len(perm), where.sizes)


def _reshaped(graph: Graph, node: Node, where: ChannelAxes) -> ChannelAxes | None:
    """Where the channels lie after a reshape that keeps them together."""
    before, after = graph.type(node.inputs[0]).shape, graph.type(node.outputs[0]).shape
    if before is None or after is None or any(not isinstance(before[a], int) for a in where.axes):
        return None
    first, end = where.axes[0], where.axes[0] + len(where.axes)
    if where.axes != tuple(range(first, end)):
        return None
    channels, rest = prod(where.sizes), before[end:]
    if not rest:
        return _last(after, channels)
    head = first + 1
    before = (*before[:first], channels, *rest)
    if len(after) >= head and before[:head] == after[:head] and None not in before[:head]:
        sides = (before[head:], after[head:])
        sizes = [[n for n in side if isinstance(n, int)] for side in sides]
        if [len(side) for side in sizes] == [len(side) for side in sides]:
            same = prod(sizes[0]) == prod(sizes[1])
            return ChannelAxes((first,), len(after), (channels,)) if same else None
    return None


def _last(shape: Shape, channels: int) -> ChannelAxes | None:
    """The last axes of a shape that hold all channels and nothing else."""
    sizes: list[int] = []
    for n in reversed(shape):
        if not isinstance(n, int) or (sizes and prod(sizes) >= channels):
            break
        sizes.insert(0, n)
    if prod(sizes) != channels or not sizes:
        return None
    return ChannelAxes(tuple(range(len(shape) - len(sizes), len(shape))), len(shape), tuple(sizes))


def _sliced(graph: Graph, node: Node, where: ChannelAxes) -> ChannelAxes | None:
    """A slice that keeps all channels: the elements it leaves out are used by nobody."""
    before, after = graph.type(node.inputs[0]).shape, graph.type(node.outputs[0]).shape
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 3:
        axes = graph.constants.get(node.inputs[3])
    steps = graph.constants.get(node.inputs[4]) if len(node.inputs) > 4 else np.ones(1)
    if before is None or after is None or axes is None or steps is None:
        return None
    is_whole = all(isinstance(before[a], int) and before[a] == after[a] for a in where.axes)
    is_other = not set(where.axes) & {int(a) % len(before) for a in np.ravel(axes)}
    return where if is_other or (is_whole and bool((steps > 0).all())) else None


def _unmoved(graph: Graph, node: Node, where: ChannelAxes) -> ChannelAxes | None:
    kind = graph.type(node.outputs[0])
    return None if kind.rank is None or not kind.is_float else where


def _rescaled(graph: Graph, node: Node, where: ChannelAxes) -> ChannelAxes | None:
    """Quantised or read back: the same numbers, rounded."""
    return None if graph.type(node.outputs[0]).rank is None else where


MOVES: dict[str, Callable[[Graph, Node, ChannelAxes], ChannelAxes | None]] = {
    "Cast": _unmoved,
    "DequantizeLinear": _rescaled,
    "Dropout": _unmoved,
    "Identity": _unmoved,
    "QuantizeLinear": _rescaled,
    "Slice": _sliced,
    "Transpose": _transposed,
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
}
"""By operator: where the channels of a node's input lie afterwards."""


__all__ = ["MOVES", "ChannelAxes"]
