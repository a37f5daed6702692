"""Where the axes of a region's entry lie after each operator that may be part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.graph.graph import Node, Shape
from backtrace_onnx.graph.operator_families import (
    COMBINING,
    EXPONENTIAL,
    NEUTRAL,
    NORMALISING,
    POINTWISE,
    POOLING,
    REDUCING,
)
from backtrace_onnx.passes.regions.varying_axes import ONE, WHOLE, Layout, Layouts


def follow(layouts: Layouts, node: Node) -> bool:
    """Find the layout of a node's first output and enter it; False where it cannot be told."""
    made = _OF[node.op_type](layouts, node) if node.op_type in _OF and not node.domain else None
    if made is not None:
        layouts.known[node.outputs[0]] = made
    return made is not None


def _unary(layouts: Layouts, node: Node) -> Layout | None:
    """The first input's own; all others are parameters."""
    if all(layouts.fixed(i) for i in node.inputs[1:]):
        return layouts.known.get(node.inputs[0])
    return None


def _combined(layouts: Layouts, node: Node) -> Layout | None:
    varying, steady = [], []
    for name in filter(None, node.inputs):
        if name in layouts.known:
            varying.append(layouts.known[name])
            continue
        shape, like = layouts.steady(name), _filled_like(layouts, name)
        if like is not None:
            varying.append(like)
        elif shape is None:
            return None
        else:
            steady.append(shape)
    return layouts.broadcast(varying, steady)


def _filled_like(layouts: Layouts, tensor: str) -> Layout | None:
    """Layout of a constant that is given the shape of a tensor made of the entry."""
    maker = layouts.graph.producers.get(tensor)
    while maker is not None and maker.op_type in NEUTRAL:
        maker = layouts.graph.producers.get(maker.inputs[0])
    if maker is None or maker.op_type not in ("ConstantOfShape", "Expand"):
        return None
    return layouts.like(maker.inputs[-1])


def _expanded(layouts: Layouts, node: Node) -> Layout | None:
    before = layouts.known.get(node.inputs[0])
    if before is None or not layouts.fixed(node.inputs[1]):
        return None
    target = layouts.constant(node, 1)
    if target is not None:
        return layouts.broadcast([before], [tuple(int(n) for n in target)])
    like = layouts.like(node.inputs[1])
    if like is not None:
        return layouts.broadcast([before, like], [])
    shape = layouts.graph.type(node.outputs[0]).shape
    return None if shape is None else layouts.broadcast([before], [shape])


def _reduced(layouts: Layouts, node: Node) -> Layout | None:
    before = layouts.known.get(node.inputs[0])
    if before is None or (len(node.inputs) > 1 and layouts.constant(node, 1) is None):
        return None
    given = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = layouts.constant(node, 1)
    empty = given is None or not len(np.atleast_1d(given))
    if empty and node.attributes.get("noop_with_empty_axes", 0):
        return None
    return _without(layouts, before, None if empty else given, node.attributes.get("keepdims", 1))


def _without(
    layouts: Layouts, before: Layout, axes: Sequence[int] | np.ndarray | None, keepdims: int
) -> Layout | None:
    """A layout without these axes (None: all)."""
    if WHOLE in before:
        return (ONE,) if keepdims else () if axes is None else None
    rank = len(before)
    over = range(rank) if axes is None else [int(a) % rank for a in np.atleast_1d(axes)]
    layouts.reduced.update(before[a] for a in over if before[a] != ONE)
    if keepdims:
        return tuple(ONE if a in over else label for a, label in enumerate(before))
    return tuple(label for a, label in enumerate(before) if a not in over)


def _pooled(layouts: Layouts, node: Node) -> Layout | None:
    before = layouts.known.get(node.inputs[0])
    if before is None or WHOLE in before:
        return None if before is None else (ONE,)
    return _without(layouts, before, range(2, len(before)), 1) if len(before) > 2 else None


def _axes(layouts: Layouts, node: Node) -> list[int] | None:
    given = node.attributes.get("axes")
    if given is None:
        given = layouts.constant(node, 1)
    return None if given is None else [int(a) for a in np.atleast_1d(given)]


def _squeezed(layouts: Layouts, node: Node) -> Layout | None:
    before, axes = layouts.known.get(node.inputs[0]), _axes(layouts, node)
    if before is None or WHOLE in before or axes is None or not before:
        return None
    over = {a % len(before) for a in axes}
    if any(before[a] != ONE for a in over):
        return None
    return tuple(label for a, label in enumerate(before) if a not in over)


def _unsqueezed(layouts: Layouts, node: Node) -> Layout | None:
    before, axes = layouts.known.get(node.inputs[0]), _axes(layouts, node)
    if before is None or WHOLE in before or axes is None:
        return None
    rank = len(before) + len(axes)
    over, rest = {a % rank for a in axes}, iter(before)
    return tuple(ONE if a in over else next(rest) for a in range(rank))


def _transposed(layouts: Layouts, node: Node) -> Layout | None:
    before = layouts.known.get(node.inputs[0])
    if before is None or WHOLE in before:
        return None
    perm = node.attributes.get("perm") or range(len(before))[::-1]
    return tuple(before[a] for a in perm)


def _reshaped(layouts: Layouts, node: Node) -> Layout | None:
    """A reshape that only puts in and takes out axes of size 1."""
    before = layouts.known.get(node.inputs[0])
    if before is None or WHOLE in before or not layouts.fixed(node.inputs[1]):
        return None
    target = layouts.constant(node, 1)
    sizes: Shape | None = layouts.graph.type(node.outputs[0]).shape
    if target is not None:
        sizes = tuple(int(n) for n in target)
    if sizes is None:
        return layouts.like(node.inputs[1])
    return _placed(layouts, before, sizes, bool(node.attributes.get("allowzero", 0)))


def _placed(layouts: Layouts, before: Layout, sizes: Shape, literal: bool) -> Layout | None:
    """The entry's axes of `before`, in order, at the places where `sizes` has room for them."""
    left = [label for label in before if label != ONE]
    made: list[int] = []
    for axis, n in enumerate(sizes):
        copied = n == 0 and not literal and axis < len(before)
        if n == 1 or (copied and before[axis] == ONE) or (n == -1 and not left):
            made.append(ONE)
        elif not left or (copied and before[axis] != left[0]):
            return None
        elif copied or n == -1 or (n is not None and layouts.dims and layouts.dims[left[0]] == n):
            made.append(left.pop(0))
        else:
            return None
    return None if left else tuple(made)


_OF: dict[str, Callable[[Layouts, Node], Layout | None]] = {
    **dict.fromkeys(POINTWISE | NEUTRAL | EXPONENTIAL | NORMALISING, _unary),
    **dict.fromkeys(COMBINING, _combined),
    **dict.fromkeys(REDUCING, _reduced),
    **dict.fromkeys(POOLING, _pooled),
    **dict.fromkeys(("BatchNormalization", "Neg"), _unary),
    "Expand": _expanded,
    "PRelu": _combined,
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}

ALLOWED = frozenset(_OF)
"""Operators that may lie inside a region."""


__all__ = ["ALLOWED", "follow"]
