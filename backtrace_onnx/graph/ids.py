"""Which tensors hold ids: what is looked up by them, and what is computed on the way there.

Arithmetic of ids says which row is meant, not how much of anything there is: what a constant adds
to an id is no share of it, and relevance goes to the ids alone.
"""

from __future__ import annotations

from collections.abc import Callable

from onnx import TensorProto

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import MOVING, NEUTRAL, REGION
from backtrace_onnx.graph.traits import one_hot_ids

_TABLES = frozenset({"Gather", "GatherElements", "GatherND"})
_ARITHMETIC = frozenset(
    [
        *("Abs", "Add", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil"),
        *("Clip", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Pow", "Relu", "Round"),
        *("Sub", "Sum", "Where"),
    ]
)
_MOVES = frozenset(
    [
        *("Compress", "Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Pad"),
        *("ReverseSequence", "ScatterElements", "ScatterND", "Slice", "Split", "Tile"),
    ]
)
_ON_THE_WAY = _ARITHMETIC | _MOVES | MOVING | NEUTRAL | {REGION}
_COUNTING = frozenset({"CumSum", "ReduceSum"})


def find_ids(graph: Graph) -> frozenset[str]:
    """Tensors by which fixed tables are looked up, and what these are computed from in turn.

    They are followed back through arithmetic, element by element, and through moves of elements.
    """
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op_type in _ON_THE_WAY and found.intersection(node.outputs):
            found.update(node.inputs)
        found.update(_looked_up_by(node, graph))
    return frozenset(found - graph.constants.keys() - {""})


def _looked_up_by(node: Node, graph: Graph) -> tuple[str, ...]:
    """The input by which a node looks something up in a table that is fixed."""
    if node.domain:
        return ()
    if node.op_type in _TABLES and node.inputs[0] in graph.constants:
        return node.inputs[1:2]
    encoded = 0 if node.op_type == "OneHot" else one_hot_ids(node, graph)
    return () if encoded is None else (node.inputs[encoded],)


def is_mask(graph: Graph, tensor: str) -> bool:
    """Whether a tensor holds booleans, perhaps converted to numbers and moved."""
    return graph.type(_origin(graph, tensor, lambda t: _is_bool(graph, t))).dtype == _BOOL


def is_count(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is a running or whole sum (CumSum, ReduceSum), perhaps with a constant
    added.
    """

    def counts(name: str) -> bool:
        maker = graph.producers.get(name)
        return maker is not None and not maker.domain and maker.op_type in _COUNTING

    return counts(_origin(graph, tensor, counts, through=_SHIFTS))


_BOOL = TensorProto.BOOL
_SHIFTS = frozenset({"Add", "Sub"})


def _is_bool(graph: Graph, tensor: str) -> bool:
    return graph.type(tensor).dtype == _BOOL


def _origin(
    graph: Graph,
    tensor: str,
    wanted: Callable[[str], bool],
    through: frozenset[str] = frozenset(),
) -> str:
    """The first tensor on the way back that is wanted, or the last one on it.

    The way leads through operators that move or convert elements, and those of `through` with one
    operand that is no constant.
    """
    while not wanted(tensor):
        maker = graph.producers.get(tensor)
        if maker is None or maker.domain or maker.op_type not in MOVING | NEUTRAL | through:
            return tensor
        varying = [name for name in maker.inputs if name and name not in graph.constants]
        if maker.op_type in through and len(varying) != 1:
            return tensor
        tensor = maker.inputs[0] if maker.op_type not in through else varying[0]
    return tensor


__all__ = ["find_ids", "is_count", "is_mask"]
