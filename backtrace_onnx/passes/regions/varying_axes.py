"""Which axes of an entry tensor the tensors made of it vary along, and at which places.

A layout has one label per axis: the number of the entry's axis that lies there, or ONE where the
tensor has size 1. Two layouts that do not fit each other, or one that cannot be told, are None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from backtrace_onnx.graph.graph import Graph, Node, Shape
from backtrace_onnx.graph.operator_families import NEUTRAL

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


__all__ = ["ONE", "WHOLE", "Layout", "Layouts"]
