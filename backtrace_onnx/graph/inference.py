"""What shape inference knows of a model's tensors."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, shape_inference

from backtrace_onnx.graph.graph import NO_TENSOR, TensorType
from backtrace_onnx.graph.shapes import computed_shapes, declare
from backtrace_onnx.model.loading import Model

SAMPLES = "samples"
_KNOWS_WEIGHTS = 4  # before this IR version inference ignores weights that are no inputs
_ROUNDS = 64  # computed shapes one after another; what is computed from later ones stays unknown


def infer(model: Model) -> dict[str, TensorType]:
    """Types and shapes of all tensors, as far as shape inference finds them.

    The open first axis of the inputs has one symbol, which inference carries through the graph.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    _forget_symbols(proto)
    _open_negative(proto)
    _mark_samples(proto)
    types = infer_types(proto)
    for name, weight in model.weights.items():
        types[name] = TensorType(_element(weight), weight.shape)
    return types


def infer_types(proto: onnx.ModelProto) -> dict[str, TensorType]:
    """Types by tensor; where inference fails, what the model declares."""
    declared = onnx.ModelProto()
    declared.CopyFrom(proto)
    declared.ir_version = max(proto.ir_version, _KNOWS_WEIGHTS)
    types = _inferred(declared)
    with suppress(Exception):  # inference is help, not a condition
        for _ in range(_ROUNDS):
            computed = computed_shapes(declared.graph, types)
            if not computed:
                break
            declare(declared.graph, types, computed)
            types = _inferred(declared)
    return types


def _inferred(proto: onnx.ModelProto) -> dict[str, TensorType]:
    with suppress(Exception):
        proto = shape_inference.infer_shapes(proto, data_prop=True)
    values = (*proto.graph.value_info, *proto.graph.output, *proto.graph.input)
    return {value.name: _type(value.type) for value in values}


def _forget_symbols(proto: onnx.ModelProto) -> None:
    """Drop declared symbols of inner tensors, which inference would keep instead of the inputs'."""
    for value in (*proto.graph.value_info, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.ClearField("dim_param")


def _open_negative(proto: onnx.ModelProto) -> None:
    """Take a size of -1 for what it means to the exporters that write it: any."""
    for value in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")


def _mark_samples(proto: onnx.ModelProto) -> None:
    """Name the open first axis of every input that has no name there."""
    weights = {t.name for t in proto.graph.initializer}
    symbol = None
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in weights or not dims or dims[0].HasField("dim_value"):
            continue
        symbol = symbol or dims[0].dim_param or SAMPLES
        if not dims[0].dim_param:
            dims[0].dim_param = symbol


def _element(array: npt.NDArray[Any]) -> int:
    try:
        return int(helper.np_dtype_to_tensor_dtype(array.dtype))
    except (KeyError, ValueError):
        return int(TensorProto.UNDEFINED)


def _type(proto: onnx.TypeProto) -> TensorType:
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return TensorType() if kind is None else TensorType(NO_TENSOR)
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return TensorType(tensor.elem_type)
    return TensorType(
        tensor.elem_type,
        tuple(
            d.dim_value if d.HasField("dim_value") else (d.dim_param or None)
            for d in tensor.shape.dim
        ),
    )
