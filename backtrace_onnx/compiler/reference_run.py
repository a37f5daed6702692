"""The run of the reference in a compiled file: the model once more, on the baseline."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.file_baselines import BASELINE, Baselines, zero_of
from backtrace_onnx.compiler.model_copy import copy_model
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.ops.vocabulary import Value

_RUN = "reference/"


class ReferenceRun:
    """Writes the second run before a walk.

    Args:
        ops: appends nodes to the file.
        proto: the model. graph: the same, as rules read it.
        free: returns a name. Raises where the model has a tensor of it.

    Attributes:
        values: the tensors of the run.
        inputs: those that the file has for it.
    """

    def __init__(
        self,
        ops: EmitOps,
        proto: onnx.ModelProto,
        graph: Graph,
        baselines: Baselines,
        free: Callable[[str], str],
    ) -> None:
        self.inputs: list[onnx.ValueInfoProto] = []
        self._ops, self._graph, self._free = ops, graph, free
        names = {
            name: self._compared(name, baselines)
            for name in graph.inputs
            if name in baselines.told or name in baselines.fixed
        }
        self.values = copy_model(ops, proto, graph, names, _RUN, self._free)

    def _compared(self, name: str, baselines: Baselines) -> str:
        """The baseline of an input, spread over the batch; returns its name."""
        given: Value = baselines.fixed.get(name)
        if given is None:
            kind, told = self._graph.type(name), self._free(BASELINE + name)
            dims = [None] * (kind.rank or 0)
            self.inputs.append(helper.make_tensor_value_info(told, kind.dtype, dims))
            if name not in baselines.required:
                self._ops.constants[told] = zero_of(kind)
            given = Symbol(self._ops, told)
        shape = self._ops.Shape(Symbol(self._ops, name))
        return self._ops.output(self._ops.Expand(given, shape), self._free(_RUN + name))


__all__ = ["ReferenceRun"]
