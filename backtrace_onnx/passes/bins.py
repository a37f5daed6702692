"""Numbers made of comparisons of one tensor with constants, read as a function of it.

KBinsDiscretizer, torch.bucketize and steps that are written out compare a value with thresholds:
the number of the bin, and its one-hot vector, are data as the value is. What only opens or closes
other data (a mask, a gate) is none: its readers tell it apart.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from onnx import TensorProto

from backtrace_onnx.graph.graph import Graph, Node, Shape
from backtrace_onnx.graph.operator_families import (
    AFFINE,
    BINS,
    CONVOLUTIONS,
    DOMAIN,
    MOVING,
    NEUTRAL,
)
from backtrace_onnx.passes.rewriter import Draft

_COMPARING = frozenset(
    ["Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual"]
)
_POINTWISE = frozenset(
    [
        *("Add", "And", "Cast", "CastLike", "Identity", "Max", "Min", "Mul", "Not", "Or", "Sub"),
        *("Sum", "Where", "Xor"),
    ]
)
_REDUCING = frozenset({"ArgMax", "ArgMin", "ReduceMax", "ReduceMin", "ReduceSum"})
_LAID = frozenset({"Flatten", "Reshape"})
_ALONG_AXES = _REDUCING | {"Concat", "Squeeze", "Unsqueeze"}
_INNER = _COMPARING | _POINTWISE | _ALONG_AXES | _LAID
_ML = "ai.onnx.ml"
_ML_HANDS_ON = frozenset({"Imputer", "Normalizer", "Scaler"})
_ML_COUNTS = frozenset(
    ["OneHotEncoder", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"]
)
_HANDS_ON = MOVING | NEUTRAL | {"Concat", "Flatten", "Gather", "Slice"}


class _Origin(NamedTuple):
    """The tensor that others are made of by comparisons.

    They begin with its first `lead` axes; what lies behind these is made of its one entry there.
    """

    tensor: str
    lead: int


def read_bins(graph: Graph) -> Graph:
    """The graph in which numbers made of comparisons of one tensor are a function of it."""
    search = _Comparisons(graph)
    if not search.origins:
        return graph
    draft = Draft(graph)
    for node in graph.nodes:
        made = next(iter(node.outputs), "")
        origin = search.origins.get(made)
        if origin is not None and search.is_read_as_number(made):
            source, sources = (origin.tensor,), node.sources or (node.name,)
            told = {"lead": origin.lead}
            draft.put(node, Node(node.name, DOMAIN, BINS, 1, source, (made,), told, sources))
    return draft.finished()


class _Comparisons:
    """Which tensors are made of comparisons of one tensor.

    Attributes:
        origins: that tensor, by those that are made of it.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._blank = set(graph.shape_only)  # tensors that depend on no value
        self._counted: dict[str, bool] = {}
        self.origins: dict[str, _Origin] = {}
        for node in graph.nodes:
            origin = None if node.domain or not node.outputs else self._origin(node)
            if origin is not None and self._begins_alike(node, origin):
                self.origins[node.outputs[0]] = origin

    def is_read_as_number(self, tensor: str) -> bool:
        """Whether a tensor is counted or looked up by all readers that make no bins of it."""
        if self._graph.type(tensor).dtype in (TensorProto.BOOL, TensorProto.UNDEFINED):
            return False
        users = [n for n in self._users(tensor) if n.outputs[0] not in self.origins]
        known = tensor not in self._graph.outputs and bool(users)
        return known and all(self._counts(tensor, node) for node in users)

    # What bins are made of ----------------------------------------------------------------------

    def _origin(self, node: Node) -> _Origin | None:
        """What a node's output is made of, if that is comparisons of one tensor."""
        varying = [name for name in node.inputs if name and not self._is_fixed(name)]
        if not varying or self._vanishes(node):
            if node.inputs and not node.op_type.startswith("Random"):
                self._blank.update(node.outputs)
            return None
        known = {self.origins.get(name) for name in varying}
        if len(known) == 1 and None not in known:
            return known.pop() if node.op_type in _INNER else None
        if node.op_type not in _COMPARING or len(varying) != 1:
            return None
        return self._compared(varying[0])

    def _compared(self, tensor: str) -> _Origin | None:
        kind, maker = self._graph.type(tensor), self._graph.producers.get(tensor)
        if not kind.is_float or not kind.dtype or not kind.shape:
            return None
        if all(n == 1 for n in kind.shape[1:]):
            return _Origin(tensor, 1)
        if maker is not None and maker.operator == "Unsqueeze":
            rank, axes = self._graph.type(maker.inputs[0]).rank, self._axes(maker)
            if rank and axes is not None and min(axes) >= rank:
                return _Origin(maker.inputs[0], rank)
        return _Origin(tensor, len(kind.shape))

    def _is_fixed(self, name: str) -> bool:
        return name in self._graph.constants or name in self._blank

    def _vanishes(self, node: Node) -> bool:
        """Whether a node multiplies by 0, as converters do to get a constant of some length."""
        factors = (self._graph.constants.get(name) for name in node.inputs)
        return node.op_type == "Mul" and any(x is not None and not x.any() for x in factors)

    def _begins_alike(self, node: Node, origin: _Origin) -> bool:
        """Whether a node's output begins with the first axes of its origin."""
        shape = self._graph.type(node.outputs[0]).shape
        before = self._graph.type(origin.tensor).shape
        if shape is None or before is None or None in before[: origin.lead]:
            return False
        read = self._graph.type(node.inputs[0]).shape
        if node.op_type in _LAID and origin.lead == 1:
            return read is not None and _keeps_rows(read, shape)
        if shape[: origin.lead] != before[: origin.lead] or node.op_type in _LAID:
            return False
        if node.op_type in _ALONG_AXES:
            axes = self._axes(node)
            return axes is not None and min(axes) >= origin.lead
        varying = (name for name in node.inputs if name and not self._is_fixed(name))
        return all(self._graph.type(name).rank == len(shape) for name in varying)

    def _axes(self, node: Node) -> list[int] | None:
        """The axes that a node goes along, counted from the first; None where that is not known."""
        given = node.attributes.get("axes")
        if node.op_type in ("ArgMax", "ArgMin", "Concat"):
            given = [node.attributes.get("axis", 0)]
        elif given is None and len(node.inputs) > 1:
            constant = self._graph.constants.get(node.inputs[1])
            given = None if constant is None else constant.ravel().tolist()
        wide = node.outputs[0] if node.op_type == "Unsqueeze" else node.inputs[0]
        rank = self._graph.type(wide).rank
        return [int(axis) % rank for axis in given] if given and rank else None

    # What reads them ----------------------------------------------------------------------------

    def _users(self, tensor: str) -> list[Node]:
        users = self._graph.consumers.get(tensor, ())
        return [node for node in users if node.op_type not in ("Shape", "Size")]

    def _all_count(self, tensor: str) -> bool:
        if tensor not in self._counted:
            users = self._users(tensor)
            known = tensor not in self._graph.outputs and bool(users)
            self._counted[tensor] = known and all(self._counts(tensor, node) for node in users)
        return self._counted[tensor]

    def _counts(self, tensor: str, node: Node) -> bool:
        """Whether a node weighs, encodes or looks up numbers, or hands them on to those that do."""
        rest = [name for name in node.inputs if name and name != tensor]
        is_only = all(map(self._is_fixed, rest))
        if node.domain:
            hands_on = node.op_type in _ML_HANDS_ON and self._all_count(node.outputs[0])
            return node.domain == _ML and (node.op_type in _ML_COUNTS or hands_on)
        if node.op_type in CONVOLUTIONS | {"Gemm", "MatMul", "OneHot"}:
            return is_only and (node.op_type == "MatMul" or node.inputs[0] == tensor)
        if node.op_type == "Gather" and node.inputs[0] != tensor:
            return node.inputs[0] in self._graph.constants
        if node.op_type in _HANDS_ON or (node.op_type in AFFINE and is_only):
            return self._all_count(node.outputs[0])
        return False


def _keeps_rows(before: Shape, after: Shape) -> bool:
    """Whether a tensor has as many rows as before; the sizes of a row tell."""
    rows = [shape[1:] for shape in (before, after)]
    if any(not isinstance(n, int) for row in rows for n in row):
        return False
    return prod(n for n in rows[0] if isinstance(n, int)) == prod(
        n for n in rows[1] if isinstance(n, int)
    )
