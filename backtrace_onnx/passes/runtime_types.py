"""Types of tensors that only onnxruntime's own operators tell, as onnxruntime infers them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, ValueInfoProto, helper

from backtrace_onnx.errors import ModelError
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.loading import Model

_ELEMENTS = {
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    **{
        name.lower(): number
        for name, number in TensorProto.DataType.items()
        if name not in ("UNDEFINED", "FLOAT", "DOUBLE")
    },
}


def stated(model: Model) -> Model:
    """The model stating the types of what operators unknown to ONNX make.

    ONNX's shape inference stops at them. Where onnxruntime does not load the model either, it
    stays as it is, and the error comes from where it is run.
    """
    known = {v.name for v in (*model.proto.graph.value_info, *model.proto.graph.output)}
    wanted = [name for name in _foreign(model) if name not in known]
    if not wanted:
        return model
    types, graph = _types(model, wanted), model.proto.graph
    return model.with_nodes(graph.node, stated=(*graph.value_info, *types)) if types else model


def _foreign(model: Model) -> Iterator[str]:
    """Outputs of nodes that ONNX has no schema for."""
    for node in model.proto.graph.node:
        if not onnx.defs.has(node.op_type, domain=canonical(node.domain)):
            yield from filter(None, node.output)


def _types(model: Model, wanted: list[str]) -> list[ValueInfoProto]:
    """What onnxruntime says of these tensors; nothing where it does not load the model."""
    graph = model.proto.graph
    outputs = [*graph.output, *(ValueInfoProto(name=name) for name in wanted)]
    asking = model.with_nodes(graph.node, outputs=outputs)
    try:
        session = asking.session(optimise=False, threads=1)
    except ModelError:  # running the model reports it
        return []
    made = {o.name: o for o in session.get_outputs()}
    return [
        _value(name, element, made[name].shape)
        for name in wanted
        if (element := _element(made[name].type))
    ]


def _element(kind: str) -> int:
    """Element type of `tensor(float)` and the like; 0 for what is no tensor."""
    return int(_ELEMENTS.get(kind.removeprefix("tensor(").removesuffix(")"), 0))


def _value(name: str, element: int, shape: list[int | str | None]) -> ValueInfoProto:
    """Value info without the symbols of sizes; no axes mean that onnxruntime does not know them."""
    sizes = [n if isinstance(n, int) and n >= 0 else None for n in shape]
    return helper.make_tensor_value_info(name, element, sizes or None)
