"""Bringing a model to an operator set whose nodes can stand beside those written here."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper, version_converter

from backtrace_onnx.errors import CompileError
from backtrace_onnx.model.loading import Model

OLDEST_OPSET = 18
_FOREIGN = "onnxruntime.foreign"
_RESIZE_STATES_ITS_PLACES = 11
_OLD_PLACES = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def upgraded(loaded: Model, opset: int = OLDEST_OPSET) -> Model:
    """The model in an operator set whose nodes can stand beside those written here.

    Raises CompileError where ONNX's converter fails.
    """
    version = loaded.opsets.get("", opset)
    if version >= opset:
        return loaded
    modern = onnx.ModelProto()
    modern.CopyFrom(loaded.proto)
    modern.ir_version = max(modern.ir_version, 8)
    _hide_foreign(modern, version)
    try:
        proto = version_converter.convert_version(modern, opset)
    except Exception as error:  # the converter raises its own C++ exceptions
        reason = str(error).strip().split("\n")[0]
        raise CompileError(
            f"{loaded.name}: opset {version} cannot be brought to opset {opset} ({reason}); "
            "export the model with a newer opset"
        ) from None
    if version < _RESIZE_STATES_ITS_PLACES:
        _state_places(proto.graph)
    _show_foreign(proto)
    added = [t for t in proto.graph.initializer if t.name not in loaded.weights]
    return loaded.with_proto(proto, {t.name: numpy_helper.to_array(t) for t in added})


def _hide_foreign(proto: onnx.ModelProto, version: int) -> None:
    """Give operators that only onnxruntime has in ONNX's domain, or has earlier, another one.

    ONNX's converter fails at names that its domain does not have in the model's version.
    """
    for node in proto.graph.node:
        if not node.domain and not onnx.defs.has(node.op_type, version, ""):
            node.domain = _FOREIGN
    proto.opset_import.append(helper.make_opsetid(_FOREIGN, 1))


def _show_foreign(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        if node.domain == _FOREIGN:
            node.domain = ""
    kept = [o for o in proto.opset_import if o.domain != _FOREIGN]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _state_places(graph: onnx.GraphProto) -> None:
    """Say where an older Resize or Upsample reads; the converter leaves it to a newer default."""
    for node in graph.node:
        if node.op_type == "Resize":
            stated = {a.name for a in node.attribute}
            places = {k: v for k, v in _OLD_PLACES.items() if k not in stated}
            node.attribute.extend(helper.make_attribute(k, v) for k, v in places.items())
