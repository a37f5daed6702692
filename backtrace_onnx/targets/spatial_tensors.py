"""Tensors [samples, channels, places ...] of a network that convolves: where maps are read."""

from __future__ import annotations

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import (
    AFFINE,
    COMBINING,
    CONVOLUTIONS,
    NEUTRAL,
    NORMALISING,
    POINTWISE,
    REGION,
    SCALE,
)
from backtrace_onnx.messages.similar_names import find_alike

_WINDOWS = frozenset({"AveragePool", "LpPool", "MaxPool", "QLinearAveragePool", "Resize"})
_KEEPING = (
    AFFINE
    | COMBINING
    | NEUTRAL
    | NORMALISING
    | POINTWISE
    | _WINDOWS
    | {"BatchNormalization", "Concat", "Pad", REGION, SCALE}
)
"""Operators behind which places are where they were, one for one or window by window."""


def spatial_tensors(graph: Graph, output: str) -> list[str]:
    """Float tensors on the way to `output` that have channels and places, in the graph's order."""
    found: dict[str, int] = {}
    for node in reversed(list(graph.ancestors(output))):
        rank = _rank(node, graph, found)
        for name in node.outputs[:1]:
            kind = graph.type(name)
            if rank and kind.rank == rank and kind.is_float and set((kind.shape or ())[2:]) != {1}:
                found[name] = rank
    return [name for name in found if name != output]


def find_spatial(graph: Graph, output: str, name: str | None, scores: str = "") -> str:
    """The tensor of that name; None: the last one before the `scores` that the output is made of.

    Raises RequestError where it has no places.
    """
    names = spatial_tensors(graph, output)
    if name in names:
        return str(name)
    before = [own for own in names if own != scores]
    if name is None and before:
        return before[-1]
    what = "no tensor on the way to it" if name is None else f"tensor {name!r}"
    close = find_alike(name, names, cutoff=0.3) if name else []
    some = ", ".join(map(repr, close or names[-5:])) or "none: the model does not convolve"
    raise RequestError(
        f"mode gradcam explains output {output!r} at a tensor of channels and places, made by a "
        f"convolution and what follows it; {'' if name is None else what + ' is none; '}"
        f"there are: {some}"
    )


def _rank(node: Node, graph: Graph, found: dict[str, int]) -> int | None:
    """How many axes the places and channels of a node's output have; None where it has none."""
    if node.op_type in CONVOLUTIONS:
        return graph.type(node.outputs[0]).rank
    if node.op_type not in _KEEPING:
        return None
    return next((found[name] for name in node.inputs if name in found), None)


__all__ = ["find_spatial", "spatial_tensors"]
