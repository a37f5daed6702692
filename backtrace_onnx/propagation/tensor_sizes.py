"""How large tensors will be, before anything runs: from the shapes of the inputs, as a guess."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy.typing as npt
from onnx import helper

from backtrace_onnx.graph.graph import Graph

Array = npt.NDArray[Any]
_USUAL = 4  # bytes of an element whose type is not known


class TensorSizes:
    """Sizes of a graph's tensors for one sample of these inputs.

    A length that no input has is taken for the longest that one has, of tokens mostly; along the
    first of several axes for the number of samples.
    """

    def __init__(self, graph: Graph, feeds: Mapping[str, Array]) -> None:
        self._graph = graph
        self._lengths: dict[str, int] = {}
        self._count = 1
        for name, x in feeds.items():
            axis = graph.samples.get(name)
            for i, (n, size) in enumerate(zip(graph.type(name).shape or (), x.shape, strict=False)):
                if isinstance(n, str):
                    self._lengths[n] = 1 if i == axis else size
            if axis is not None and not axis.inner and axis < x.ndim:
                self._count = max(1, x.shape[axis])
        self._longest = max(self._lengths.values(), default=1)
        self._known: dict[str, int] = {}

    def length(self, tensor: str, axis: int) -> int:
        """How long an axis of a tensor is."""
        shape = self._graph.type(tensor).shape or ()
        n, samples = shape[axis], self._graph.samples.get(tensor)
        if axis == samples:
            return max(1, n // self._count) if isinstance(n, int) else 1
        if isinstance(n, int):
            return n
        first = axis == 0 and len(shape) > 1 and samples is None
        return self._lengths.get(n or "", 1 if first else self._longest)

    def bytes(self, tensor: str) -> int:
        """How much memory a tensor takes; 0 where its number of axes is not known."""
        if tensor not in self._known:
            kind = self._graph.type(tensor)
            lengths = (self.length(tensor, axis) for axis in range(kind.rank or 0))
            known = kind.dtype in helper.get_all_tensor_dtypes() and kind.dtype > 0
            item = helper.tensor_dtype_to_np_dtype(kind.dtype).itemsize if known else _USUAL
            self._known[tensor] = 0 if kind.shape is None else prod(lengths) * item
        return self._known[tensor]


__all__ = ["TensorSizes"]
