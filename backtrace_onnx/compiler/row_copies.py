"""A file that compares with several rows: its batch repeated for each of them, and the means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.file_baselines import BASELINE
from backtrace_onnx.compiler.start_writer import StartWriter
from backtrace_onnx.compiler.target_axis import TARGETS
from backtrace_onnx.compiler.target_input import TARGET
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.model.topology import renamed
from backtrace_onnx.ops.vocabulary import Value, ints

Array = npt.NDArray[Any]
_RELEVANCE, _INSIDE = "relevance/", "relevance/rows/"


@dataclass(frozen=True)
class RowCopies:
    """Turns a file that takes a baseline for each sample into one that holds rows for all.

    Attributes:
        ops: appends nodes to the file.
        axes: where samples lie, by the names of its inputs and outputs.
        rows: by input of the model, [rows, ...] with the sample axis kept, of size 1.
    """

    ops: EmitOps
    axes: Mapping[str, int]
    rows: Mapping[str, Array]

    @classmethod
    def of(
        cls, start: StartWriter, file: onnx.GraphProto, graph: Graph, rows: Mapping[str, Array]
    ) -> RowCopies:
        """That of a file whose start is written. Raises RequestError where samples cannot be
        repeated."""
        ends = [value.name for value in file.output]
        read = {name: name.removeprefix(_RELEVANCE) for name in (*graph.inputs, *ends)}
        axes = _open_axes(graph, start.samples, read)
        if start.axis is not None:  # of targets, before all others
            axes = {name: axis + name.startswith(_RELEVANCE) for name, axis in axes.items()}
        steers = {value.name: start.axes.samples or 0 for value in start.inputs}
        return cls(start.ops, {**steers, TARGET: 0, TARGETS: 1, **axes}, rows)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.rows.values())))

    def around(self, graph: onnx.GraphProto) -> None:
        """Change the file's graph in place; its nodes are then in no order."""
        ops, shown = self.ops, list(graph.output)
        ops.nodes[:] = []
        ops.forget()
        first, *_ = self.rows
        samples = ops.Shape(Symbol(ops, first), start=self.axes[first], end=self.axes[first] + 1)
        kept = [value for value in graph.input if not value.name.startswith(BASELINE)]
        given = [value.name for value in kept]
        for name in given:
            if name in self.axes:
                ops.output(self._repeated(name, samples), _INSIDE + name)
        for name, rows in self.rows.items():
            ops.output(self._tiled(rows, self.axes[name], samples), BASELINE + name)
        own = {name: _INSIDE + name for name in given if name in self.axes}
        ends = {value.name for value in shown}
        own |= {name: _INSIDE + name for name in ends}
        for value in shown:
            if value.name not in given:
                ops.output(self._told(value.name), value.name)
        nodes = [renamed(node, own) for node in graph.node]
        for node in nodes:  # what made an output is called like it
            node.name = _INSIDE * (node.name in ends) + node.name
        del graph.node[:], graph.input[:]
        graph.input.extend(kept)
        graph.node.extend([*nodes, *ops.nodes])
        for value in graph.value_info:  # whose number of samples is another one inside
            value.name = own.get(value.name, value.name)
            _forget_symbols(value)

    def _repeated(self, name: str, samples: Value) -> Value:
        """Each sample so many times, one after the other; one that is for all is each sample's."""
        ops, axis, x = self.ops, self.axes[name], Symbol(self.ops, name)
        before, after = ops.Shape(x, start=0, end=axis), ops.Shape(x, start=axis + 1)
        wide = ops.Concat(before, samples, ints(self.count), after, axis=0)
        copies = ops.Expand(ops.Unsqueeze(x, ints(axis + 1)), wide)
        return ops.Reshape(copies, ops.Concat(before, ints(-1), after, axis=0))

    def _tiled(self, rows: Array, axis: int, samples: Value) -> Value:
        """All rows so many times as there are samples."""
        ops, shape = self.ops, rows.shape[1:]
        own = np.moveaxis(rows.reshape(len(rows), *shape[:axis], *shape[axis + 1 :]), 0, axis)
        before, after = ints(*own.shape[:axis]), ints(*own.shape[axis:])
        name = f"{_INSIDE}of {len(ops.constants)}"
        ops.constants[name] = np.ascontiguousarray(np.expand_dims(own, axis))
        wide = ops.Expand(Symbol(ops, name), ops.Concat(before, samples, after, axis=0))
        flat = ints(*own.shape[:axis], -1, *own.shape[axis + 1 :])
        return ops.Reshape(wide, flat)

    def _told(self, name: str) -> Value:
        """An output: of relevance the mean over the rows, of an answer that of the first copy."""
        ops, axis, x = self.ops, self.axes[name], Symbol(self.ops, _INSIDE + name)
        before, after = ops.Shape(x, start=0, end=axis), ops.Shape(x, start=axis + 1)
        parts = ops.Concat(before, ints(-1, self.count), after, axis=0)
        apart = ops.Reshape(x, parts)
        if not name.startswith(_RELEVANCE):
            return ops.Squeeze(ops.Slice(apart, ints(0), ints(1), ints(axis + 1)), ints(axis + 1))
        wide = ops.Cast(apart, to=TensorProto.DOUBLE)
        return ops.Cast(ops.ReduceMean(wide, ints(axis + 1), keepdims=0), to=ops.float_type)


def _open_axes(graph: Graph, samples: SampleAxes, names: Mapping[str, str]) -> dict[str, int]:
    """Where samples lie in tensors, which a batch can be repeated along.

    Args:
        names: of an input or output, the tensor whose axis it is.

    Raises RequestError where it is not known that a tensor's axis holds samples alone, as many as
    one likes.
    """
    found = {}
    for name, tensor in names.items():
        axis, shape = samples(tensor), graph.type(tensor).shape
        declared = shape[axis] if axis is not None and shape is not None else None
        if axis is None or not axis.alone or isinstance(declared, int):
            raise RequestError(
                f"a file that compares with several rows runs each sample once for each, and "
                f"{tensor!r}, of shape {shape}, has no axis of any number of samples; compile it "
                "with one baseline, or with baseline='required', and take the mean of its outputs"
            )
        found[name] = int(axis)
    return found


def _forget_symbols(value: onnx.ValueInfoProto) -> None:
    for dim in value.type.tensor_type.shape.dim:
        if dim.HasField("dim_param"):
            dim.ClearField("dim_param")


__all__ = ["RowCopies"]
