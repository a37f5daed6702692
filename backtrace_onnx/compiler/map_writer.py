"""Grad-CAM in a compiled file: a map of one tensor's channels, enlarged to the inputs."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.compiler.forward_values import Symbols
from backtrace_onnx.compiler.walk_writers import Reported, WalkWriter
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.picture_shapes import place_axes
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.propagation.reverse_walk import Walked

_SIDE = 64  # in place of one that is known only when the file runs


class MapWriter(WalkWriter):
    """One walk of slopes, of which the map is made.

    Args:
        ops: appends nodes to the file.
        graph: the model, as rules read it. values: its tensors.
        tensor: [samples, channels, places ...], whose channels are weighed.

    Raises RequestError where no input has such places.
    """

    def __init__(
        self, method: Method, ops: EmitOps, graph: Graph, values: Symbols, tensor: str
    ) -> None:
        super().__init__(method, values)
        self._ops, self._own, self._tensor = ops, values, tensor
        self._count = (graph.type(tensor).rank or 2) - 2
        self._places = _places(graph, self._count)
        self.keep = frozenset({tensor})
        if not self._places or SampleAxes(graph)(tensor) != 0:
            raise RequestError(
                f"mode gradcam: no input has the {self._count} axes of places that tensor "
                f"{tensor!r} has, behind one of samples; take mode gradient or attnlrp"
            )

    def close(self, walked: Walked) -> Reported:
        """The map; inputs with several channels have an equal part of it for each."""
        if self._tensor not in walked.carried:
            return {}
        ops, (slopes,) = self._ops, walked.carried[self._tensor]
        over = ints(*range(2, 2 + self._count))
        weighed = ops.Mul(ops.ReduceMean(slopes, over, keepdims=1), self._own.value(self._tensor))
        small = ops.Relu(ops.ReduceSum(weighed, ints(1), keepdims=0))
        reached = self._places.keys() & walked.carried.keys() or self._places.keys()
        return {name: [self._spread(small, name)] for name in sorted(reached)}

    def _spread(self, small: Value, name: str) -> Value:
        """The map [samples, places ...] over all of an input."""
        ops, shape, axes, size = self._ops, self._own.shape(name), *self._places[name]
        before = ops.Shape(small)
        for i, axis in enumerate(axes, 1):
            perm = [*(k for k in range(len(axes) + 1) if k != i), i]
            ends = (ops.Gather(before, ints(i), axis=0), ops.Gather(shape, ints(axis), axis=0))
            wide = ops.MatMul(ops.Transpose(small, perm=perm), self._linear(*ends))
            small = ops.Transpose(wide, perm=np.argsort(perm).tolist())
        others = [axis for axis in range(1, size) if axis not in axes]
        if not others:
            return ops.Expand(small, shape)
        channels = ops.ReduceProd(ops.Gather(shape, ints(*others), axis=0), keepdims=0)
        part = ops.Div(small, ops.Cast(channels, to=ops.float_type))
        return ops.Expand(ops.Unsqueeze(part, ints(*others)), shape)

    def _linear(self, before: Value, after: Value) -> Value:
        """Weights [before, after] of a linear enlargement whose pixels are areas, not points."""
        ops, half = self._ops, np.array(0.5)
        sizes = [ops.Cast(ops.Squeeze(n), to=TensorProto.DOUBLE) for n in (before, after)]
        rows, columns = (ops.Range(np.array(0.0), n, np.array(1.0)) for n in sizes)
        at = ops.Sub(ops.Mul(ops.Add(columns, half), ops.Div(*sizes)), half)
        last = ops.Sub(sizes[0], np.array(1.0))
        at = ops.Min(ops.Max(at, np.array(0.0)), last)
        far = ops.Abs(ops.Sub(ops.Unsqueeze(rows, ints(1)), at))
        weights = ops.Max(ops.Sub(np.array(1.0), far), np.array(0.0))
        return ops.Cast(weights, to=ops.float_type)


def _places(graph: Graph, count: int) -> dict[str, tuple[tuple[int, ...], int]]:
    """The axes of places, and how many axes there are, of inputs that have places."""
    axes, found = SampleAxes(graph), {}
    for name in graph.inputs:
        shape = graph.type(name).shape
        if shape is None or len(shape) < 2 or axes(name) != 0:
            continue
        own = place_axes([n if isinstance(n, int) else _SIDE for n in shape[1:]], count)
        if own is not None:
            found[name] = tuple(axis + 1 for axis in own), len(shape)
    return found


__all__ = ["MapWriter"]
