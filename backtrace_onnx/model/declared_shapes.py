"""Shapes of outputs that a file declares and that its own operators contradict."""

from __future__ import annotations

from contextlib import suppress

import onnx
from onnx import ValueInfoProto, shape_inference

from backtrace_onnx.model.loading import Model


def without_contradicted(model: Model) -> Model:
    """The model without those declared shapes of outputs that shape inference contradicts.

    Some exporters declare the width of the inputs for an output of one column.
    """
    wrong = _contradicted(model.proto)
    if not wrong:
        return model
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    for output in proto.graph.output:
        if output.name in wrong:
            output.type.tensor_type.ClearField("shape")
    return model.with_proto(proto)


def _contradicted(proto: onnx.ModelProto) -> frozenset[str]:
    """Names of the outputs of another rank, or with another size, than their nodes make."""
    free = onnx.ModelProto()
    free.CopyFrom(proto)
    for output in free.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    found: dict[str, ValueInfoProto] = {}
    with suppress(Exception):  # inference is help, not a condition
        found = {o.name: o for o in shape_inference.infer_shapes(free).graph.output}
    return frozenset(o.name for o in proto.graph.output if _differ(o, found.get(o.name)))


def _differ(declared: ValueInfoProto, inferred: ValueInfoProto | None) -> bool:
    if inferred is None or not all(x.type.HasField("tensor_type") for x in (declared, inferred)):
        return False
    kinds = declared.type.tensor_type, inferred.type.tensor_type
    if not all(kind.HasField("shape") for kind in kinds):
        return False
    said, made = (kind.shape.dim for kind in kinds)
    return len(said) != len(made) or any(
        a.dim_value > 0 and b.dim_value > 0 and a.dim_value != b.dim_value
        for a, b in zip(said, made, strict=True)
    )
