"""What is known of tensors before anything runs: kind, sign, size and saturation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.dequantising import dequantiser
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import MOVING, NEUTRAL
from backtrace_onnx.graph.regions import body
from backtrace_onnx.graph.rotation_tables import is_rotation_table

_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
TRANSPARENT = NEUTRAL | MOVING | {"Flatten"}
_RENAMING = frozenset({"ai.onnx.ml::Normalizer", "ai.onnx.ml::ZipMap"})
_CHOOSING = frozenset({"ArgMax"})
_TABLES = frozenset({"Gather", "GatherND", "GatherElements"})
_FINITE = frozenset(
    ["Softmax", "LogSoftmax", "Exp", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "Relu", "IsInf"]
)
_MAKES_NONNEGATIVE = frozenset(
    [
        "Relu",
        "Sigmoid",
        "HardSigmoid",
        "Softmax",
        "Exp",
        "Abs",
        "Sqrt",
        "Softplus",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "LpPool",
        "GlobalLpPool",
        "Hardmax",
    ]
)
_KEEPS_NONNEGATIVE = frozenset(
    [
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Identity",
        "Dropout",
        "Slice",
        "Split",
        "Add",
        "Mul",
        "Max",
        "Min",
        "Sum",
        "Mean",
        "Concat",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "Expand",
        "Tile",
        "Gather",
        "DepthToSpace",
        "SpaceToDepth",
        "Cast",
        "Erf",
        "Sqrt",
        "Where",
    ]
)


_SIZES = frozenset({"Shape", "Size"})  # integers whatever they are the size of


def integral(graph: Graph) -> frozenset[str]:
    """Tensors whose every dependence on the inputs goes through integers or booleans.

    A table of floats, or of integers that stand for such, looked up by integers, an embedding, is
    data of its own. A table of cosines and sines is not: it says where something stands, like the
    position that it is looked up by.
    """
    found = {name for name in graph.inputs if not graph.type(name).is_float}
    for node in _written(graph):
        if (
            node.operator == "OneHot"
            or _looks_up(node, graph)
            or one_hot_ids(node, graph) is not None
        ):
            continue
        varying = [i for i in node.inputs if i and i not in graph.constants]
        if node.operator in _SIZES or all(i in found for i in varying):
            found.update(filter(None, node.outputs))
    return frozenset(found)


def nonnegative(graph: Graph) -> frozenset[str]:
    """Tensors known to have no negative entry."""
    found = _constants(graph, lambda low, high: low >= 0)
    for node in _written(graph):
        known = node.operator in _MAKES_NONNEGATIVE
        if node.operator == "Clip":
            known = _lower_bound(node, graph) >= 0
        if node.operator in _KEEPS_NONNEGATIVE:
            data = [i for i in node.inputs if i and graph.type(i).is_float]
            known = bool(data) and all(i in found for i in data)
            known = known and min(node.attributes.get("signs", (1,))) > 0
        if known:
            found.update(filter(None, node.outputs))
    return frozenset(found)


def infinite(graph: Graph) -> frozenset[str]:
    """Tensors that may hold infinities, because a constant they are made of does (a mask)."""
    found = _constants(graph, lambda low, high: bool(np.isinf(low) or np.isinf(high)))
    for node in _written(graph):
        if node.operator not in _FINITE and found.intersection(node.inputs):
            found.update(filter(None, node.outputs))
    return frozenset(found)


def _written(graph: Graph) -> Iterator[Node]:
    """The nodes, those inside of regions one by one."""
    for node in graph.nodes:
        yield from body([node])


def readers(tensor: str, graph: Graph) -> list[Node]:
    """Nodes that read more of a tensor than its shape."""
    users = graph.consumers.get(tensor, ())
    return [node for node in users if node.operator not in ("Shape", "Size")]


def is_head(tensor: str, graph: Graph) -> bool:
    """Whether a tensor is an output of the model, perhaps under another name or in another form."""
    while tensor not in graph.outputs:
        users = [user for user in readers(tensor, graph) if user.operator not in _CHOOSING]
        if len(users) != 1 or users[0].operator not in TRANSPARENT | _RENAMING:
            return False
        tensor = users[0].outputs[0]
    return True


def one_hot_ids(node: Node, graph: Graph) -> int | None:
    """Index of the input of an Equal that holds ids, if it compares them with distinct
    constants.
    """
    if node.operator != "Equal":
        return None
    for i, other in ((0, 1), (1, 0)):
        values = graph.constants.get(node.inputs[other])
        ids = graph.type(node.inputs[i])
        if values is None or values.dtype.kind not in "iu" or ids.is_float:
            continue
        if values.size > 1 and len(np.unique(values)) == values.size:
            return i if node.inputs[i] not in graph.constants else None
    return None


def _looks_up(node: Node, graph: Graph) -> bool:
    table = graph.constants.get(node.inputs[0]) if node.inputs else None
    if node.operator not in _TABLES or table is None:
        return False
    if table.dtype.kind != "f":  # integers may stand for floats
        return dequantiser(graph, node.outputs[0]) is not None
    axis = int(node.attributes.get("axis", 0))
    return node.operator != "Gather" or not is_rotation_table(table, axis)


def _constants(graph: Graph, holds: Callable[[Any, Any], bool]) -> set[str]:
    """Constants whose smallest and largest entry satisfy `holds`."""
    return {
        name
        for name, value in graph.constants.items()
        if value.dtype.kind in "fiu" and value.size and holds(*_extent(value))
    }


def _extent(value: npt.NDArray[Any]) -> tuple[Any, Any]:
    return value.min(), value.max()


def _lower_bound(node: Node, graph: Graph) -> float:
    low = node.attributes.get("min")
    if low is None and len(node.inputs) > 1:
        low = graph.constants.get(node.inputs[1])
    return -np.inf if low is None or np.size(low) != 1 else float(np.reshape(low, ()))
