"""Nodes and constants of the straight model, in the words of its own operator set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from backtrace_onnx.errors import ModelError
from backtrace_onnx.model.fresh_names import fresh_name
from backtrace_onnx.model.loading import Model

Array = npt.NDArray[Any]
_AXES_ARE_INPUTS = 13
_IDENTITY_OF_SEQUENCES = 14


class StraightNodes:
    """The nodes and constants of a straight model, as far as they are written.

    Attributes:
        nodes: those of the model that stay, and new ones, in order.
        made: names of the new nodes.
        weights: new constants by name.
        fixed: tensors that depend on no input.
        sequences: names of the tensors in every sequence that is known.
        optionals: the name of what an optional holds, "" for nothing.
    """

    def __init__(self, model: Model, fixed: set[str]) -> None:
        self.opset, self.fixed = model.opsets.get("", 1), fixed
        self.nodes: list[onnx.NodeProto] = []
        self.made: set[str] = set()
        self.weights: dict[str, Array] = {}
        self.sequences: dict[str, tuple[str, ...]] = {}
        self.optionals: dict[str, str] = {}
        graph = model.proto.graph
        self._taken = {name for node in graph.node for name in (node.name, *node.output)}
        self._taken |= model.weights.keys() | {x.name for x in graph.input}

    def fresh(self, name: str) -> str:
        """The name, or one like it, that no node and no tensor has; it is taken from now on."""
        return fresh_name(name, self._taken)

    def inner(self, prefix: str, name: str) -> str:
        """A fresh name for what is called `name` in a body."""
        return self.fresh(f"{prefix}/{name.lstrip('/')}")

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Enter a new constant under a fresh name like `name`, which is returned."""
        name = self.fresh(name)
        self.weights[name] = np.asarray(value)
        self.fixed.add(name)
        return name

    def add(self, node: onnx.NodeProto) -> None:
        """Write a node that is named already."""
        self.made.add(node.name)
        self.nodes.append(node)

    def emit(
        self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Write a node named after its first output."""
        name = self.fresh(f"{outputs[0]}@{op_type}")
        self.add(helper.make_node(op_type, inputs, outputs, name, **attributes))

    def rename(self, source: str, output: str) -> None:
        """Write that `output` is `source` under another name; nothing where `output` is ""."""
        if not output:
            return
        self.note_alike(source, output)
        if self.opset < _IDENTITY_OF_SEQUENCES and self.sequences.get(source):
            self.emit("SequenceConstruct", self.sequences[source], [output])
        else:
            self.emit("Identity", [source], [output])

    def note_alike(self, source: str, output: str) -> None:
        """Note that `output` is the sequence or optional that `source` is, if that is known."""
        if source in self.sequences:
            self.sequences[output] = self.sequences[source]
        if source in self.optionals:
            self.optionals[output] = self.optionals[source]

    def squeeze(self, source: str, output: str, axis: int) -> None:
        """Write `output`: `source` without an axis of size 1."""
        self._axed("Squeeze", source, output, axis)

    def unsqueeze(self, source: str, output: str, axis: int) -> None:
        """Write `output`: `source` with a new axis of size 1."""
        self._axed("Unsqueeze", source, output, axis)

    def _axed(self, op_type: str, source: str, output: str, axis: int) -> None:
        if self.opset < _AXES_ARE_INPUTS:
            self.emit(op_type, [source], [output], axes=[axis])
        else:
            given = self.constant(f"{output}@axis", np.array([axis], np.int64))
            self.emit(op_type, [source, given], [output])

    def split(self, source: str, parts: Sequence[str], sizes: Sequence[int], axis: int) -> None:
        """Write `parts`, of these sizes along an axis of `source`."""
        if self.opset < _AXES_ARE_INPUTS:
            self.emit("Split", [source], parts, axis=axis, split=list(sizes))
        else:
            given = self.constant(f"{parts[0]}@sizes", np.array(sizes, np.int64))
            self.emit("Split", [source, given], parts, axis=axis)

    def cut(self, source: str, names: Sequence[str], axis: int) -> None:
        """Write the slices of `source` along an axis, without that axis, under these names."""
        wide = [self.fresh(f"{name}@slice") for name in names]
        self.split(source, wide, [1] * len(names), axis)
        for part, name in zip(wide, names, strict=True):
            self.squeeze(part, name, axis)

    def stack(self, rows: Sequence[str], output: str, axis: int) -> None:
        """Write `output`: these tensors side by side along a new axis."""
        wide = [self.fresh(f"{output}/{i}@row") for i in range(len(rows))]
        for row, name in zip(rows, wide, strict=True):
            self.unsqueeze(row, name, axis)
        self.emit("Concat", wide, [output], axis=axis)

    def empty_rows(
        self, node: onnx.NodeProto, row: onnx.ValueInfoProto, output: str, axis: int = 0
    ) -> None:
        """Write what a node stacks where nothing runs: no rows; open sizes are 0, as onnxruntime's.

        `row` states the type of one row. Raises ModelError where it does not.
        """
        kind = row.type.tensor_type
        if not kind.elem_type:
            raise ModelError(
                f"{node.op_type} node {node.name!r} runs no iteration, and its body does not "
                f"state the type of {row.name!r}"
            )
        shape = [d.dim_value for d in kind.shape.dim]
        shape.insert(axis if axis >= 0 else axis + len(shape) + 1, 0)
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        self.rename(self.constant(f"{output}@empty", np.zeros(shape, dtype)), output)
