"""Where integers become numbers: rows of a table that ids look up, counts that are converted."""

from __future__ import annotations

from collections.abc import Collection

from backtrace_onnx.graph.graph import Graph

_SIZES = frozenset({"Shape", "Size"})


def first_floats(graph: Graph, inputs: Collection[str]) -> list[str]:
    """The first tensors of floats behind inputs that hold none, in the order of the nodes.

    What a node makes of floats that are data, too, is none of them; nor what sizes tell.
    """
    carried, sizes, found = set(inputs), set(graph.constants), []
    for node in graph.nodes:
        read = {name for name in node.inputs if name}
        if node.op_type in _SIZES or read <= sizes:
            sizes.update(node.outputs)
        if node.op_type in _SIZES or carried.isdisjoint(read) or not read <= carried | sizes:
            continue
        floats = [name for name in node.outputs if name and graph.type(name).is_float]
        found += floats
        carried.update(name for name in node.outputs if name and name not in floats)
    return found


__all__ = ["first_floats"]
