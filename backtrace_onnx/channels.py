"""Where a channel axis lies after its elements have moved; None where it is not kept whole."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from backtrace_onnx.graph import Graph, Node


def _transposed(graph: Graph, node: Node, axis: int) -> tuple[int, int] | None:
    rank = graph.type(node.outputs[0]).rank
    perm = node.attributes.get("perm") or (None if rank is None else tuple(range(rank))[::-1])
    return None if perm is None else (perm.index(axis), len(perm))


def _reshaped(graph: Graph, node: Node, axis: int) -> tuple[int, int] | None:
    """Where the channel axis lies after a reshape that keeps it whole."""
    before, after = graph.type(node.inputs[0]).shape, graph.type(node.outputs[0]).shape
    if before is None or after is None or not isinstance(before[axis], int):
        return None
    if axis == len(before) - 1 and after and after[-1] == before[axis]:
        return len(after) - 1, len(after)
    head = axis + 1
    if len(after) >= head and before[:head] == after[:head] and None not in before[:head]:
        rest = (before[head:], after[head:])
        sizes = [[n for n in side if isinstance(n, int)] for side in rest]
        if [len(side) for side in sizes] == [len(side) for side in rest]:
            return (axis, len(after)) if prod(sizes[0]) == prod(sizes[1]) else None
    return None


def _sliced(graph: Graph, node: Node, axis: int) -> tuple[int, int] | None:
    """A slice that keeps all channels: the elements it leaves out are used by nobody."""
    before, after = graph.type(node.inputs[0]).shape, graph.type(node.outputs[0]).shape
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 3:
        axes = graph.constants.get(node.inputs[3])
    steps = graph.constants.get(node.inputs[4]) if len(node.inputs) > 4 else np.ones(1)
    if before is None or after is None or axes is None or steps is None:
        return None
    is_whole = isinstance(before[axis], int) and before[axis] == after[axis]
    is_other = axis not in [int(a) % len(before) for a in np.ravel(axes)]
    return (axis, len(before)) if is_other or (is_whole and bool((steps > 0).all())) else None


def _unmoved(graph: Graph, node: Node, axis: int) -> tuple[int, int] | None:
    kind = graph.type(node.outputs[0])
    return None if kind.rank is None or not kind.is_float else (axis, kind.rank)


MOVES: dict[str, Callable[[Graph, Node, int], tuple[int, int] | None]] = {
    "Cast": _unmoved,
    "Dropout": _unmoved,
    "Identity": _unmoved,
    "Slice": _sliced,
    "Transpose": _transposed,
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
}
"""By operator: (axis, rank) afterwards of the axis of a node's input."""


__all__ = ["MOVES"]
