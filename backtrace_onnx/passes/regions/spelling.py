"""How a region is written, but for names: regions spelled alike are the same function."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.regions import body


def spelling(region: Node, graph: Graph) -> Hashable:
    """Operators, attributes and constants of a region, and what is known of its tensors."""
    places = {name: i for i, name in enumerate(region.inputs)}
    entry = graph.type(region.inputs[0])
    lines: list[Hashable] = [(entry.dtype, entry.shape, tuple(sorted(graph.opsets.items())))]
    for node in body([region]):
        operands = tuple(_operand(name, places, graph) for name in node.inputs)
        attributes = tuple(sorted((name, repr(x)) for name, x in node.attributes.items()))
        lines.append((node.operator, attributes, operands, graph.type(node.outputs[0]).shape))
        for name in node.outputs:
            places.setdefault(name, len(places))
    return tuple(lines)


def _operand(name: str, places: dict[str, int], graph: Graph) -> Hashable:
    """A tensor by its place, a constant by its value, anything else by its name."""
    if name in places:
        return places[name]
    value: npt.NDArray[np.generic] | None = graph.constants.get(name)
    return name if value is None else (value.dtype.str, value.shape, value.tobytes())


__all__ = ["spelling"]
