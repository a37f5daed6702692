"""8-bit data: read once, and weighed against each other as floats."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto, TensorProto, helper

from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.inference import infer
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import captured, renamed

_CHOOSING = frozenset({"MaxPool", "Max", "Min", "ReduceMax", "ReduceMin"})
_MIXING = frozenset({"Resize", "Upsample"})
_MOVES = frozenset(
    [
        *("Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile"),
        *("Transpose", "Unsqueeze"),
    ]
)
_ALL_DATA = frozenset({"Concat", "Max", "Min"})
_NARROW = frozenset({TensorProto.UINT8, TensorProto.INT8})


def read_before(model: Model) -> Model:
    """The model in which 8-bit numbers are read (DequantizeLinear) before they are chosen or moved.

    Where all of a pool's or a reshape's output is read by one scale, its input may be instead: the
    numbers are the same, bit for bit, and what the integers stand for is known all the way.
    """
    nodes = model.proto.graph.node
    readers = _readers(nodes)
    kept = {o.name for o in model.proto.graph.output}
    alike: dict[str, str] = {}
    gone: set[str] = set()
    put: dict[str, list[NodeProto]] = {}
    for node in reversed(nodes):
        users = readers.get(node.output[0], []) if node.output else []
        is_wanted = node.op_type in _CHOOSING | _MOVES and not node.domain
        if (
            not is_wanted
            or node.output[0] in kept
            or not _reads_alike(node.output[0], users, model, kept)
        ):
            continue
        put[node.name] = _reading_first(node, users[0])
        for name, made in zip(node.input, put[node.name][:-1], strict=False):
            readers[name] = [*(user for user in readers[name] if user is not node), made]
        gone.update(user.name for user in users)
        alike.update({user.output[0]: users[0].output[0] for user in users[1:]})
    if not put:
        return model
    new = (made for node in nodes for made in put.get(node.name, [node]))
    return model.with_nodes(renamed(made, alike) for made in new if made.name not in gone)


def _reading_first(node: NodeProto, user: NodeProto) -> list[NodeProto]:
    """What reads the data of a node as `user` reads its output, and the node behind it."""
    data = len(node.input) if node.op_type in _ALL_DATA else 1
    reading = []
    for i, name in enumerate(node.input[:data]):
        made = NodeProto()
        made.CopyFrom(user)
        made.name = f"{node.name}/read{i}"
        made.input[0], made.output[0] = name, made.name
        reading.append(made)
    moved = NodeProto()
    moved.CopyFrom(node)
    moved.input[:data] = [made.output[0] for made in reading]
    moved.output[0] = user.output[0]
    return [*reading, moved]


def widened(model: Model) -> Model:
    """The model with those that weigh 8-bit data against each other done on floats.

    Quantised models leave pools and resizes between two changes of scale in 8 bits. What mixes
    numbers rounds them in 8 bits, and stays so in models that are not quantised.
    """
    nodes = model.proto.graph.node
    is_quantised = any("quantize" in node.op_type.lower() for node in nodes)
    wanted = _CHOOSING | _MIXING if is_quantised else _CHOOSING
    asked = [node for node in nodes if node.op_type in wanted and not node.domain]
    if not asked:
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


def _readers(nodes: Sequence[NodeProto]) -> dict[str, list[NodeProto]]:
    """The nodes that read each tensor, those among them whose bodies do."""
    found: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in {*node.input, *captured(node)} - {""}:
            found.setdefault(name, []).append(node)
    return found


def _reads_alike(tensor: str, users: Sequence[NodeProto], model: Model, kept: set[str]) -> bool:
    """Whether all users read a tensor of integers by the same single scale over 0."""
    scales = {tuple(user.input[1:]) for user in users}
    if len(scales) != 1 or any(user.op_type != "DequantizeLinear" for user in users):
        return False
    if any(user.input[0] != tensor for user in users):  # a zero point, that is
        return False
    if any(user.domain for user in users) or kept.intersection(u.output[0] for u in users[1:]):
        return False
    scale = model.weights.get(users[0].input[1])
    return scale is not None and scale.ndim == 0 and bool(scale > 0)
