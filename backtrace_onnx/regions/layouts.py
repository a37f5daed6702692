"""Which axes of an entry tensor the tensors made of it vary along, and at which places.

A layout has one label per axis: the number of the entry's axis that lies there, or ONE where the
tensor has size 1. Two layouts that do not fit each other, or one that cannot be told, are None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np

from backtrace_onnx.graph import Graph, Node, Shape
from backtrace_onnx.regions.families import (
    COMBINING,
    EXPONENTIAL,
    NEUTRAL,
    NORMALISING,
    POINTWISE,
    POOLING,
    REDUCING,
)

Layout: TypeAlias = tuple[int, ...]

ONE = -1
WHOLE = -2
"""All axes of an entry whose rank is not known."""


class Layouts:
    """Layouts of the tensors between an entry and what is made of it.

    Attributes:
        fixed: tensors that hold constants or depend on shapes only.
        reduced: axes of the entry that reductions went over.
    """

    def __init__(self, graph: Graph, entry: str, fixed: Callable[[str], bool]) -> None:
        self.graph, self.fixed = graph, fixed
        self.dims = graph.type(entry).shape
        self.entry = _whole(self.dims)
        self.known: dict[str, Layout] = {entry: self.entry}
        self.reduced: set[int] = set()

    def follow(self, node: Node) -> bool:
        """Enter the layout of a node's first output; False where it is not known."""
        made = _OF[node.op_type](self, node) if node.op_type in _OF and not node.domain else None
        if made is not None:
            self.known[node.outputs[0]] = made
        return made is not None

    def is_whole(self, tensor: str) -> bool:
        """Whether a tensor has the entry's shape."""
        return self.known.get(tensor) == self.entry

    def constant(self, node: Node, i: int) -> np.ndarray | None:
        """Value of a node's constant input `i`."""
        return self.graph.constants.get(node.inputs[i]) if i < len(node.inputs) else None

    def broadcast(
        self, varying: Iterable[Layout], steady: Iterable[Layout | Shape]
    ) -> Layout | None:
        """Layout of tensors combined with each other and with constants of these shapes."""
        made: Layout | None = ()
        for layout in varying:
            made = None if made is None else _meet(made, layout)
        for shape in steady:
            made = None if made is None else self._against(made, shape)
        return made

    def _against(self, layout: Layout, shape: Shape) -> Layout | None:
        """A layout combined with a constant: no axis may be made larger than the entry's."""
        if self.dims is None:
            return layout if not shape else None
        rank = max(len(layout), len(shape))
        padded = (ONE,) * (rank - len(layout)) + layout
        for axis, n in enumerate((1,) * (rank - len(shape)) + tuple(shape)):
            if n == 1:
                continue
            label = padded[axis]
            if label == ONE and rank == len(self.dims):
                label = axis
            if label == ONE or n is None or self.dims[label] != n:
                return None
            padded = (*padded[:axis], label, *padded[axis + 1 :])
        return padded

    def steady(self, tensor: str) -> Shape | None:
        """Shape of a tensor that holds a constant, as far as known."""
        return self.graph.type(tensor).shape

    def like(self, shape: str) -> Layout | None:
        """Layout of the tensor that a computed shape is the shape of."""
        maker = self.graph.producers.get(shape)
        while maker is not None and maker.op_type in NEUTRAL:
            maker = self.graph.producers.get(maker.inputs[0])
        if maker is None or maker.op_type != "Shape" or maker.attributes:
            return None
        return self.known.get(maker.inputs[0])


def _whole(dims: Shape | None) -> Layout:
    if dims is None:
        return (WHOLE,)
    return tuple(ONE if n == 1 else axis for axis, n in enumerate(dims))


def _meet(a: Layout, b: Layout) -> Layout | None:
    """Layout of two tensors that are broadcast against each other."""
    rank = max(len(a), len(b))
    made = []
    for x, y in zip(*((ONE,) * (rank - len(s)) + s for s in (a, b)), strict=True):
        if ONE not in (x, y) and x != y:
            return None
        made.append(y if x == ONE else x)
    return tuple(made)


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


__all__ = ["ALLOWED", "ONE", "Layout", "Layouts"]
