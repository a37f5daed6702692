"""Along which axis of an output the classes of an entry lie."""

from __future__ import annotations

from typing import cast

from backtrace_onnx.graph.graph import Graph, Node, Shape
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.messages.notes import Note

_NORMALISING = frozenset({"Softmax", "LogSoftmax", "Hardmax"})
_CHOOSING = frozenset({"ArgMax", "TopK", *_NORMALISING})
_KEEPING = frozenset(
    {"Identity", "Cast", "Dropout", "Sigmoid", "Tanh", "Relu", "Clip", "Mul", "Div", "Add", "Sub"}
)
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_COERCED = 13  # before this version Softmax flattens what follows its axis
_FEW = 4  # times as many anchors as rows: then the rows are box and classes


def find_class_axis(
    graph: Graph, output: str, shape: Shape | None, samples: int | None, notes: list[Note]
) -> int | None:
    """The axis of an output along which the classes of one entry lie.

    It is that of a softmax or choice nearby, else that of the last layer's channels, else the usual
    one, with a note where that is a guess. None where the shape is not known or a sample has no
    axis.

    Args:
        samples: sample axis of the output, if it has one.
        notes: what is assumed is appended here.
    """
    if shape is None:
        return None
    own = [axis for axis in range(len(shape)) if axis != samples]
    if len(own) < 2:
        return own[0] if own else None
    found = graph.classes.get(output)
    if found is not None and found != samples and found < len(shape):
        return found
    layer = _layer_axis(graph, output, len(shape))
    return layer if layer in own else _by_convention(shape, own, output, notes)


def _layer_axis(graph: Graph, output: str, rank: int) -> int | None:
    """Where the channels of the last layer lie, if only moves and functions of one input follow."""
    axes, name = list(range(rank)), output
    while (node := graph.producers.get(name)) is not None and graph.type(name).rank == rank:
        if node.operator in _LAYERS:
            constant = node.inputs[1] in graph.constants
            at = 1 if node.op_type.startswith("Conv") else rank - 1
            return axes.index(at) if constant else None
        if node.op_type == "Transpose":
            perm = node.attributes.get("perm") or range(rank)[::-1]
            axes = [int(perm[axis]) for axis in axes]
            name = node.inputs[0]
        elif not (name := _kept(node, graph)):
            return None
    return None


def class_axes(graph: Graph) -> dict[str, int]:
    """Axes along which a softmax or a choice goes, by the tensors around it that have the same
    entries.
    """
    found: dict[str, int] = {}
    for node in graph.nodes:
        axis = _axis(node, graph)
        if axis is not None:
            found.setdefault(node.inputs[0], axis)
        if axis is not None and node.operator not in ("ArgMax", "TopK"):
            found[node.outputs[0]] = axis
        if (source := _kept(node, graph)) in found:
            found.setdefault(node.outputs[0], found[source])
    for node in reversed(graph.nodes):
        if node.outputs[0] in found and (source := _kept(node, graph)):
            found.setdefault(source, found[node.outputs[0]])
    return found


def _kept(node: Node, graph: Graph) -> str:
    """The input whose entries an elementwise operator keeps in their places; "" if none."""
    if node.operator not in _KEEPING:
        return ""
    inputs = [name for name in node.inputs if name and name not in graph.constants]
    alike = len(inputs) == 1 and graph.type(inputs[0]).rank == graph.type(node.outputs[0]).rank
    return inputs[0] if alike else ""


def _axis(node: Node, graph: Graph) -> int | None:
    """Along which axis a node normalises or chooses, also where it stands for several."""
    if is_region(node):
        native = node.attributes.get("native")
        return None if native is None else cast(int | None, native.axis)
    rank = graph.type(node.inputs[0]).rank if node.operator in _CHOOSING else None
    if not rank:
        return None
    old = node.operator in _NORMALISING and node.version < _COERCED
    usual = {"ArgMax": 0}.get(node.op_type, -1)
    axis = int(node.attributes.get("axis", 1 if old else usual)) % rank
    return None if old and axis != rank - 1 else axis


def _by_convention(shape: Shape, own: list[int], output: str, notes: list[Note]) -> int:
    """[N, C, H, W] and [N, 4 + C, anchors]: the second; [..., C]: the last."""
    rank = len(shape)
    if rank >= 4 and 1 in own:
        last, second = shape[-1], shape[1]
        picture_last = isinstance(last, int) and second == shape[2] and second != last
        return rank - 1 if picture_last else 1
    if len(own) == 2 and rank == 3 and own[0] == 1:
        first, second = (shape[axis] for axis in own)
        if (
            isinstance(first, int)
            and isinstance(second, int)
            and _FEW * first < second
            and first > 4
        ):
            notes.append(
                Note(
                    f"axis 1 of output {output!r} ({first} of {second}) is taken for the classes "
                    "of every entry; class_axis=2 names the other"
                )
            )
            return 1
    return own[-1]
