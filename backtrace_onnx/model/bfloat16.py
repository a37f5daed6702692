"""Models in bfloat16, which onnxruntime's CPU hardly computes, read as the same ones in float32."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

from backtrace_onnx.messages.notes import Note
from backtrace_onnx.model.topology import subgraphs
from backtrace_onnx.model.weights import Weights

NOTE = Note(
    "the model is in bfloat16 and is computed in float32: its numbers are a little more exact than "
    "where it runs in bfloat16"
)
_TYPES = frozenset({"to", "dtype", "output_dtype", "softmax_precision"})
_BFLOAT16, _FLOAT = TensorProto.BFLOAT16, TensorProto.FLOAT


def in_float32(
    proto: ModelProto, weights: Weights, folder: str | None = None
) -> tuple[Weights, bool]:
    """The weights in float32, and whether there was any bfloat16; the proto is changed in place.

    A float32 number holds what a bfloat16 one does: weights and inputs keep their values.

    Args:
        weights: of the main graph, read already.
        folder: where the external data of other tensors lies.
    """
    wide = {name: _wide(w) for name, w in weights.items() if w.dtype.name == "bfloat16"}
    changed = _of_values(proto.graph) | _of_nodes(proto.graph.node, folder)
    for function in proto.functions:
        changed |= _of_nodes(function.node, folder)
    return {**weights, **wide}, changed or bool(wide)


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


def _any(changes: Iterable[bool]) -> bool:
    """Whether any was made, once all are made."""
    return True in list(changes)


def _of_values(graph: GraphProto) -> bool:
    """Whether types that a graph states were changed."""
    values = (*graph.input, *graph.output, *graph.value_info)
    return _any(_of_type(value.type) for value in values)


def _of_body(graph: GraphProto, folder: str | None) -> bool:
    found = [_of_tensor(tensor, folder) for tensor in graph.initializer]
    return _of_values(graph) | _of_nodes(graph.node, folder) | any(found)


def _of_nodes(nodes: Iterable[NodeProto], folder: str | None) -> bool:
    found = False
    for node in nodes:
        for attribute in node.attribute:
            if attribute.name in _TYPES and attribute.i == _BFLOAT16:
                attribute.i = _FLOAT
                found = True
            tensors = [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
            found |= _any(_of_tensor(tensor, folder) for tensor in tensors)
        found |= _any(_of_body(graph, folder) for graph in subgraphs(node))
    return found


def _of_tensor(tensor: TensorProto, folder: str | None) -> bool:
    """Whether a tensor was changed."""
    if tensor.data_type != _BFLOAT16:
        return False
    array = numpy_helper.to_array(tensor, folder or "")
    tensor.CopyFrom(numpy_helper.from_array(_wide(array), tensor.name))
    return True


def _of_type(kind: TypeProto) -> bool:
    """Whether a type was changed; sequences and optionals by their elements."""
    which = kind.WhichOneof("value")
    if which in ("sequence_type", "optional_type"):
        return _of_type(getattr(kind, which).elem_type)
    if which != "tensor_type" or kind.tensor_type.elem_type != _BFLOAT16:
        return False
    kind.tensor_type.elem_type = _FLOAT
    return True


__all__ = ["NOTE", "in_float32"]
