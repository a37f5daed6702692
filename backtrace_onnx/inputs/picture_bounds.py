"""The bounds of a box that a mode does not name: those of the pictures that its layers read."""

from __future__ import annotations

from dataclasses import replace

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import CONVOLUTIONS
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.methods.composites import assigned
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import Bounds, Sharing
from backtrace_onnx.propagation.plan import Plan

_KEEP = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_SAY = "say them, as in box(0, 1)"


def with_bounds(method: Method, sidecar: Sidecar | None, plan: Plan) -> Method:
    """The method, every box with its bounds: what black and white become by the sidecar.

    Raises RequestError where a box stands at a layer that reads no picture of the sidecar's.
    """
    if not any(_is_open(sharing) for _, sharing in method.composite):
        return method
    graph, carriers = plan.graph, plan.carriers
    rules = assigned(method.composite, graph, carriers)
    nodes = [node for node in graph.nodes if node.name in rules and _is_open(rules[node.name])]
    found = {_bounds(node, sidecar, graph, carriers) for node in nodes}
    if len(found) > 1:
        raise RequestError(
            f"the layers of mode {method.name!r} read pictures of other bounds; {_SAY}"
        )
    bounds = next(iter(found), None)
    filled = (
        (what, replace(s, bounds=bounds) if _is_open(s) else s) for what, s in method.composite
    )
    return replace(method, composite=tuple(filled))


def _is_open(sharing: Sharing) -> bool:
    return sharing.weighed == "box" and sharing.bounds is None


def _bounds(node: Node, sidecar: Sidecar | None, graph: Graph, carriers: frozenset[str]) -> Bounds:
    tensor = next(name for name in node.inputs if name in carriers)
    source = _source(tensor, graph)
    entry = sidecar.inputs.get(source) if sidecar is not None else None
    if not isinstance(entry, ImageInput):
        raise RequestError(
            f"a box needs the bounds of what node {node.name!r} reads, {tensor!r}, and no sidecar "
            f"says that this is a picture; {_SAY}"
        )
    low, high = entry.bounds()
    shape = graph.type(tensor).shape
    if node.op_type in CONVOLUTIONS and shape is not None:
        return Bounds(low, high, len(shape) - 2)
    return Bounds((min(low),), (max(high),))


def _source(tensor: str, graph: Graph) -> str:
    """The tensor whose numbers a tensor has, on the way of moves that keep all of them."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    while tensor in makers and makers[tensor].op_type in _KEEP:
        tensor = makers[tensor].inputs[0]
    return tensor
