"""Along which axis of every tensor the samples of a batch lie."""

from __future__ import annotations

from backtrace_onnx.graph import Graph


class SampleAxes:
    """Axis of the samples, by tensor: the one with the symbol of the inputs' open first axis.

    Where shape inference does not know, it is the first axis; vectors have none.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        shapes = (graph.type(name).shape for name in graph.inputs)
        self._symbols = {shape[0] for shape in shapes if shape and isinstance(shape[0], str)}

    def __call__(self, tensor: str) -> int | None:
        shape = self._graph.type(tensor).shape
        if shape is None:
            return 0
        for axis, n in enumerate(shape):
            if isinstance(n, str) and n in self._symbols:
                return axis
        return 0 if len(shape) > 1 else None

    def count(self, tensor: str, shape: tuple[int, ...]) -> int:
        """Number of samples in a tensor of that shape; 1 where they do not lie along its first axis."""
        return shape[0] if shape and self(tensor) == 0 else 1
