"""Values of the forward run in a compiled file: the tensors of the graph, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.ops.vocabulary import Value


class Symbols:
    """Values of the forward run, as tensors of the graph."""

    def __init__(self, ops: EmitOps, graph: Graph) -> None:
        self._ops, self._graph = ops, graph

    def value(self, name: str) -> Value:
        """The tensor as a symbol; floats of another dtype are cast to that of relevance."""
        kind, symbol = self._graph.type(name), self.symbol(name)
        if kind.is_float and kind.dtype not in (TensorProto.UNDEFINED, self._ops.float_type):
            return self._ops.Cast(symbol, to=self._ops.float_type)
        return symbol

    def exact(self, name: str) -> Value:
        """The tensor as a symbol, in its own dtype."""
        return self.symbol(name)

    def symbol(self, name: str) -> Symbol:
        """The tensor as it is called in the file."""
        return Symbol(self._ops, name)

    def shape(self, name: str) -> Value:
        """Shape of the tensor; a constant where it is known."""
        shape = self._graph.type(name).shape
        if shape is not None and all(isinstance(n, int) for n in shape):
            return np.array(shape, np.int64)
        return self._ops.Shape(self.symbol(name))

    def squares(self, name: str) -> Value | None:
        """None: tensors are whole."""
        return None

    def release(self, names: Sequence[str]) -> None:
        """Does nothing: a file's tensors take no memory while it is written."""


class RenamedSymbols(Symbols):
    """Values of another run of the model, in which tensors are called otherwise."""

    def __init__(self, ops: EmitOps, graph: Graph, names: Mapping[str, str]) -> None:
        super().__init__(ops, graph)
        self._names = names

    def symbol(self, name: str) -> Symbol:
        """The tensor as it is called in that run."""
        return super().symbol(self._names.get(name, name))
