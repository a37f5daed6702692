"""The nodes between units and the scores that they are: what these do to values on their way."""

from __future__ import annotations

from typing import Literal, TypeAlias

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.targets.two_classes import mirrored

Way: TypeAlias = Literal["move", "pass", "mirror", "turn", "squash"]
"""What a node does to scores: "mirror" is 1 - p and "turn" -s, which turn their sign."""
Parts: TypeAlias = tuple[tuple[Way, Node], ...]

_PASSING = frozenset(
    [
        "Cast",
        "CastLike",
        "DequantizeLinear",
        "Dropout",
        "Identity",
        "QuantizeLinear",
        "ai.onnx.ml::Normalizer",
        "ai.onnx.ml::ZipMap",
    ]
)
_MOVING = frozenset(["Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"])


def way_of(node: Node) -> Way | None:
    """What a node that hands values on does to them; None for others."""
    if node.operator in _PASSING:
        return "pass"
    return "move" if node.operator in _MOVING else None


def beneath(tensor: str, graph: Graph) -> tuple[Parts, Node | None]:
    """The node whose units a tensor holds, and those between, in order."""
    maker = graph.producers.get(tensor)
    if maker is None:
        return (), None
    if maker.operator == "Concat":
        found = [beneath(name, graph) for name in maker.inputs]
        makers = {made.name: made for _, made in found if made is not None}
        parts = {node.name: (way, node) for part, _ in found for way, node in part}
        if len(makers) == 1 and all(made is not None for _, made in found):
            return (*parts.values(), ("move", maker)), next(iter(makers.values()))
        return (), maker
    way, source = way_of(maker) or "turn", maker.inputs[0] if maker.inputs else ""
    if way == "turn":
        source = _turned(maker, graph)
    if not source:
        return (), maker
    parts_below, made = beneath(source, graph)
    return (*parts_below, (way, maker)), made


def _turned(node: Node, graph: Graph) -> str:
    """The tensor whose negative, or a negative multiple of it, a node makes; "" for none."""
    if node.operator == "Neg":
        return node.inputs[0]
    if node.operator != "Mul":
        return ""
    known = [graph.constants.get(name) for name in node.inputs]
    pairs = zip(node.inputs, reversed(known), strict=True)
    return next((x for x, k in pairs if k is not None and k.size == 1 and (k < 0).all()), "")


def is_decision(maker: Node, below: Parts, graph: Graph) -> bool:
    """Whether the second of two columns is taken, whose first is its negative."""
    weights = [graph.constants.get(name) for name in maker.inputs[1:]]
    plain = maker.operator in ("Gemm", "MatMul") and not maker.attributes.get("transB", 0)
    if not plain or not all(map(mirrored, weights)):
        return False
    taken = [node for _, node in below if node.op_type == "Gather"]
    places = [graph.constants.get(node.inputs[1]) for node in taken]
    along = all(node.attributes.get("axis", 0) in (1, -1) for node in taken)
    return along and [p is not None and p.ravel().tolist() for p in places] == [[1]]
