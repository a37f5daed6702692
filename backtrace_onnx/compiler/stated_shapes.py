"""Shapes of what a file computes, which inference loses where sizes are computed, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import helper

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.model.topology import bodies

Like = Mapping[str, tuple[str, int]]


def state_shapes(
    file: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], graph: Graph, like: Like
) -> None:
    """State, in the graph or body where it is made, the shape of every tensor of which it is known.

    onnxruntime's plan takes time quadratic in the tensors whose size it does not know, and it keeps
    products in the layout of its convolutions only where both factors are known to be of one shape.

    Args:
        file: the graph of the file. nodes: those of its nodes that are written behind the model.
        graph: the model, as rules read it.
        like: by tensor that these make, one of the model that has the same shape, and what type of
            elements it has itself.
    """
    file.value_info.extend(_known(nodes, graph, like))
    for _, body in bodies(nodes):
        body.value_info.extend(_known(body.node, graph, like))


def _known(
    nodes: Sequence[onnx.NodeProto], graph: Graph, like: Like
) -> Iterator[onnx.ValueInfoProto]:
    made = {name for node in nodes for name in node.output}
    given = {n for name in graph.inputs for n in graph.type(name).shape or ()}
    for name in sorted(like.keys() & made):
        tensor, element = like[name]
        shape = graph.type(tensor).shape
        if shape is not None:  # symbols that inference made up may mean others elsewhere
            known = [n if isinstance(n, int) or n in given else None for n in shape]
            yield helper.make_tensor_value_info(name, element, known)


__all__ = ["state_shapes"]
