"""What a TFLite file holds that needs care: operators of another runtime, and quantised tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, helper

from backtrace_onnx.exporters.comparing import Array

TOLERANCE = 0.05
"""Allowed difference of quantised files, relative to an output's largest value.

An interpreter rounds activations to 8 bits at every layer, dynamically quantised ones by ranges of
its own, which the exported model does not do alike.
"""
_MEDIAPIPE = (
    "MediaPipe's own runtime has it, neither TensorFlow's interpreter nor ONNX does; what was "
    "trained may be at hand as a SavedModel or Keras model, or written with standard layers "
    "(MediaPipe Model Maker exports such): export that"
)
_REMEDIES = {
    "Convolution2DTransposeBias": _MEDIAPIPE,
    "MaxPoolingWithArgmax2D": _MEDIAPIPE,
    "MaxUnpooling2D": _MEDIAPIPE,
    "TransformTensorBilinear": _MEDIAPIPE,
    "TransformLandmarks": _MEDIAPIPE,
    "Landmarks2TransformMatrix": _MEDIAPIPE,
    "RoIToTransformMatrix": _MEDIAPIPE,
    "edgetpu-custom-op": (
        "the file is compiled for an Edge TPU; export the one it was compiled from, whose name "
        "usually ends without _edgetpu"
    ),
    "ethos-u": "the file is compiled for an Ethos-U; export the one it was compiled from (by vela)",
}
_SELECT = "it was converted with SELECT_TF_OPS; export the SavedModel or Keras model it came from"
_OTHER = (
    "it belongs to another runtime than TensorFlow's; export the SavedModel or Keras model that "
    "the file came from"
)
_SIXTEEN_BITS = 21
_KNOWN = ("TFLite_Detection_PostProcess",)
_NARROW = (np.int8, np.uint8, np.int16)


def custom_operators(file: Path) -> list[str]:
    """Custom operators of a file that tf2onnx does not know, each once."""
    from tf2onnx.tflite.Model import Model

    model = Model.GetRootAsModel(bytearray(file.read_bytes()), 0)
    codes = (model.OperatorCodes(i).CustomCode() for i in range(model.OperatorCodesLength()))
    return sorted({code.decode("utf-8", "replace") for code in codes if code} - set(_KNOWN))


def refusal(names: Iterable[str]) -> str:
    """Why custom operators cannot be exported, and what to do, each reason once."""
    by_remedy: dict[str, list[str]] = {}
    for name in names:
        other = _SELECT if name.startswith("Flex") else _OTHER
        by_remedy.setdefault(_REMEDIES.get(name, other), []).append(name)
    parts = (f"custom operator {', '.join(found)}: {why}" for why, found in by_remedy.items())
    return "; ".join(parts)


def is_quantised(details: Iterable[Mapping[str, Any]]) -> bool:
    """Whether tensors, as an interpreter tells of them, stand for numbers by scales."""
    return any(_stands_for_floats(detail) for detail in details)


def as_floats(detail: Mapping[str, Any], y: Array) -> Array:
    """The numbers that a quantised output stands for; others as they are."""
    if not _stands_for_floats(detail):
        return y
    scale, zero = detail["quantization"]
    return np.asarray((y.astype(np.float32) - zero) * np.float32(scale))


def widen_outputs(proto: onnx.ModelProto) -> bool:
    """Give back the numbers that quantised outputs stand for; whether there were any."""
    makers = {out: node for node in proto.graph.node for out in node.output}
    found = False
    for value in proto.graph.output:
        maker = makers.get(value.name)
        if maker is None or maker.op_type != "QuantizeLinear":
            continue
        name, inner = value.name, f"{value.name}/quantised"
        maker.output[0] = inner
        for node in proto.graph.node:
            node.input[:] = [inner if n == name else n for n in node.input]
        proto.graph.node.append(
            helper.make_node(
                "DequantizeLinear", [inner, *maker.input[1:]], [name], name=f"{name}/Dequantize"
            )
        )
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        found = True
    return found


def widen_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model, in the first opset that quantises to 16 bits where it does so.

    Biases of such layers are integers of 64 bits, which no opset turns into numbers by a scale.
    """
    narrow = {t.name for t in proto.graph.initializer if t.data_type == TensorProto.INT16}
    pairs = [n for n in proto.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if not any(len(n.input) > 2 and n.input[2] in narrow for n in pairs):
        return proto
    _fold_biases(proto.graph, pairs)
    return onnx.version_converter.convert_version(proto, _SIXTEEN_BITS)


def _fold_biases(graph: onnx.GraphProto, pairs: Iterable[onnx.NodeProto]) -> None:
    known = {t.name: t for t in graph.initializer}
    for node in pairs:
        x = known.get(node.input[0])
        if x is not None and x.data_type == TensorProto.INT64 and node.input[1] in known:
            scale = onnx.numpy_helper.to_array(known[node.input[1]])
            value = (onnx.numpy_helper.to_array(x) * scale).astype(np.float32)
            graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
            graph.node.remove(node)


def _stands_for_floats(detail: Mapping[str, Any]) -> bool:
    scales = detail["quantization_parameters"]["scales"]
    return detail["dtype"] in _NARROW and len(scales) > 0
