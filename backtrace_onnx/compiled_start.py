"""What a compiled file starts from: the entry it is asked for, or a start that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.asking import TARGET, largest, target_dims
from backtrace_onnx.axes import OutputAxes
from backtrace_onnx.backends.base import Value, ints
from backtrace_onnx.backends.emit import EmitOps, Symbol
from backtrace_onnx.entries import TASKS
from backtrace_onnx.errors import CompileError
from backtrace_onnx.graph import Graph, TensorType
from backtrace_onnx.start import Options as StartOptions
from backtrace_onnx.start import start_text
from backtrace_onnx.structures.base import Channels

if TYPE_CHECKING:
    from backtrace_onnx.compiler import Options


class StartWriter:
    """Writes the start behind the model, and the inputs that steer it.

    Attributes:
        inputs: those that the file has beside the model's.
    """

    def __init__(
        self,
        ops: EmitOps,
        values: Symbols,
        graph: Graph,
        options: Options,
        axes: OutputAxes,
        taken: Callable[[str], bool],
    ) -> None:
        """`taken` tells whether the model has a tensor of a name."""
        self.ops, self.values, self.graph, self.taken = ops, values, graph, taken
        self.options, self.axes = options, axes
        self.inputs: list[onnx.ValueInfoProto] = []

    def write(self) -> Channels:
        """The start at the output, one symbol per channel."""
        options, kind = self.options, self.graph.type(self.options.output)
        channels = options.policy.channels
        if options.task == "start":
            names = ["start", "start_negative"][:channels]
            return [self._input(name, kind.shape) for name in names]
        y = self.values.value(options.output)
        single = self.axes.single(kind.shape) if kind.shape is not None else False
        how = StartOptions(
            options.threshold,
            options.scaler,
            single if options.single is None else options.single,
            self.axes.class_axis,
            self.axes.columns,
            pairs=options.task in TASKS,
        )
        text = start_text(options.task, channels, how)
        parts = text(self.ops, self._rows(y), self._target(kind))
        return [self._in_place(part, y) for part in parts]

    def _rows(self, y: Value) -> Value:
        """The output as [samples, ...] (`OutputAxes.rows`)."""
        axis, rank = self.axes.samples, self.axes.rank or 0
        if axis is None:
            return self.ops.Unsqueeze(y, ints(0)) if rank else self.ops.Reshape(y, ints(1, 1))
        if rank == 1:
            return self.ops.Unsqueeze(y, ints(1))
        return self.ops.Transpose(y, perm=_to_front(axis, rank)) if axis else y

    def _in_place(self, part: Value, y: Value) -> Value:
        """What `_rows` made, in the output's own shape (`OutputAxes.back`)."""
        axis, rank = self.axes.samples, self.axes.rank or 0
        if not axis:
            return self.ops.Reshape(part, self.ops.Shape(y))
        return self.ops.Transpose(part, perm=np.argsort(_to_front(axis, rank)).tolist())

    def _target(self, kind: TensorType) -> Value | None:
        asked, task = self.options.asked, self.options.task
        if task == "segmentation" and not asked.fixed:
            return None
        if asked.fixed is not None:
            return asked.constant(task, kind.shape, self.axes.samples)
        name = self._free(TARGET)
        dims = target_dims(task)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, dims))
        if asked.default:
            self.ops.constants[name] = largest(task)
        return Symbol(self.ops, name)

    def _input(self, name: str, shape: Any) -> Symbol:
        name = self._free(name)
        element = self.ops.float_type
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return Symbol(self.ops, name)

    def _free(self, name: str) -> str:
        if self.taken(name):
            raise CompileError(f"the model has a tensor named {name!r} already; rename it first")
        return name


class Symbols:
    """Values of the forward run, as tensors of the graph."""

    def __init__(self, ops: EmitOps, graph: Graph) -> None:
        self._ops, self._graph = ops, graph

    def value(self, name: str) -> Value:
        """The tensor; floats cast to the dtype of the relevance where they have another."""
        kind = self._graph.type(name)
        symbol = Symbol(self._ops, name)
        if kind.is_float and kind.dtype not in (TensorProto.UNDEFINED, self._ops.float_type):
            return self._ops.Cast(symbol, to=self._ops.float_type)
        return symbol

    def exact(self, name: str) -> Value:
        """The tensor, not cast."""
        return Symbol(self._ops, name)

    def shape(self, name: str) -> Value:
        """Shape of the tensor; a constant where it is known."""
        shape = self._graph.type(name).shape
        if shape is not None and all(isinstance(n, int) for n in shape):
            return np.array(shape, np.int64)
        return self._ops.Shape(Symbol(self._ops, name))

    def release(self, names: Sequence[str]) -> None:
        """Nothing to forget."""


def _to_front(axis: int, rank: int) -> list[int]:
    return [axis, *(i for i in range(rank) if i != axis)]
