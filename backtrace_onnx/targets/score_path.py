"""The nodes between units and the scores that they are: what these do to values on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.targets.two_classes import mirrored

ScoreMove: TypeAlias = Literal[
    "move", "pick", "pass", "scale", "mirror", "turn", "log", "log of rest", "squash"
]
"""What a node does to scores: "pick" chooses the largest; "scale" multiplies by what is positive;
"mirror" is 1 - p and "turn" -s, which turn their sign; "log of rest" is the logarithm of 1 - p."""


@dataclass(frozen=True)
class PathNode:
    """A node on the way of scores.

    Attributes:
        source: its input that holds the scores, or what was made of them; "" if they are inside.
        made: its output.
    """

    way: ScoreMove
    node: Node
    source: str
    made: str


ScorePath: TypeAlias = tuple[PathNode, ...]

PASSING = frozenset(
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
MOVING = frozenset(
    [
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)


def way_of(node: Node) -> ScoreMove | None:
    """What a node that hands values on does to them; None for others."""
    if node.operator in PASSING:
        return "pass"
    return "move" if node.operator in MOVING else None


def beneath(tensor: str, graph: Graph) -> tuple[ScorePath, Node | None]:
    """The node whose units a tensor holds, and those between, in order."""
    maker = graph.producers.get(tensor)
    if maker is None:
        return _around(tensor, graph)
    if maker.operator == "Concat":
        found = [beneath(name, graph) for name in maker.inputs]
        makers = {made.name: made for _, made in found if made is not None}
        parts = {part.made: part for below, _ in found for part in below}
        if len(makers) == 1 and all(made is not None for _, made in found):
            joined = PathNode("move", maker, maker.inputs[0], tensor)
            return (*parts.values(), joined), next(iter(makers.values()))
        return (), maker
    way, source = way_of(maker) or "turn", maker.inputs[0] if maker.inputs else ""
    if way == "turn":
        source = _turned(maker, graph)
    if not source:
        return (), maker
    parts_below, made = beneath(source, graph)
    return (*parts_below, PathNode(way, maker, source, tensor)), made


def _around(tensor: str, graph: Graph) -> tuple[ScorePath, Node | None]:
    """The same of a tensor inside of what is read as one function of one tensor."""
    region = next((n for n in graph.nodes if n.name == graph.hidden.get(tensor)), None)
    if region is None or not is_region(region) or len(region.inputs) != 1:
        return (), None
    below, made = beneath(region.inputs[0], graph)
    return (*below, PathNode("pass", region, region.inputs[0], tensor)), made


def _turned(node: Node, graph: Graph) -> str:
    """The tensor whose negative, or a negative multiple of it, a node makes; "" for none."""
    if node.operator == "Neg":
        return node.inputs[0]
    if node.operator != "Mul":
        return ""
    known = [graph.constants.get(name) for name in node.inputs]
    pairs = zip(node.inputs, reversed(known), strict=True)
    return next((x for x, k in pairs if k is not None and k.size == 1 and (k < 0).all()), "")


def is_decision(maker: Node, below: ScorePath, graph: Graph) -> bool:
    """Whether the second of two columns is taken, whose first is its negative."""
    weights = [graph.constants.get(name) for name in maker.inputs[1:]]
    plain = maker.operator in ("Gemm", "MatMul") and not maker.attributes.get("transB", 0)
    if not plain or not all(map(mirrored, weights)):
        return False
    taken = [part.node for part in below if part.node.op_type == "Gather"]
    places = [graph.constants.get(node.inputs[1]) for node in taken]
    along = all(node.attributes.get("axis", 0) in (1, -1) for node in taken)
    return along and [p is not None and p.ravel().tolist() for p in places] == [[1]]
