"""8-bit data: read once, and weighed against each other as floats."""

from __future__ import annotations

from onnx import NodeProto, TensorProto, helper

from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.inference import infer
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import renamed

_COMPARING = frozenset({"MaxPool", "Max", "Min", "ReduceMax", "ReduceMin", "Resize", "Upsample"})
_NARROW = frozenset({TensorProto.UINT8, TensorProto.INT8})


def widened(model: Model) -> Model:
    """The model with those that weigh 8-bit data against each other done on floats.

    Quantised models leave pools and resizes between two changes of scale in 8 bits.
    """
    nodes = model.proto.graph.node
    asked = [node for node in nodes if node.op_type in _COMPARING and not node.domain]
    if not asked or not any("Quantize" in node.op_type for node in nodes):
        return model
    types = infer(model)
    narrow = {
        node.name: kind.dtype
        for node in asked
        if (kind := types.get(node.input[0], TensorType())).dtype in _NARROW
    }
    if not narrow:
        return model
    return model.with_nodes(
        new
        for node in nodes
        for new in (_widened(node, narrow[node.name]) if node.name in narrow else [node])
    )


def read_once(model: Model) -> Model:
    """The model in which equal DequantizeLinear nodes are one, as they were before quantising.

    What fans out from one tensor is then seen to come from one.
    """
    first: dict[tuple[object, ...], str] = {}
    alike: dict[str, str] = {}
    kept = {o.name for o in model.proto.graph.output}
    for node in model.proto.graph.node:
        if node.op_type != "DequantizeLinear" or node.domain or node.output[0] in kept:
            continue
        attributes = sorted(a.SerializeToString() for a in node.attribute)
        made = first.setdefault((*node.input, *attributes), node.output[0])
        if made != node.output[0]:
            alike[node.output[0]] = made
    if not alike:
        return model
    left = [node for node in model.proto.graph.node if node.output[0] not in alike]
    return model.with_nodes(renamed(node, alike) for node in left)


def _widened(node: NodeProto, kind: int) -> list[NodeProto]:
    """A node between a cast to float and one back; indices among its outputs stay."""
    data = len(node.input) if node.op_type in ("Max", "Min") else 1
    casts = [
        helper.make_node("Cast", [name], [f"{node.name}/wide{i}"], f"{node.name}/wide{i}", to=1)
        for i, name in enumerate(node.input[:data])
    ]
    made = NodeProto()
    made.CopyFrom(node)
    made.input[:data] = [cast.output[0] for cast in casts]
    made.output[0] = f"{node.name}/float"
    back = helper.make_node(
        "Cast", [made.output[0]], [node.output[0]], f"{node.name}/back", to=kind
    )
    return [*casts, made, back]
