"""A model cut at tensors inside of it, which become inputs."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import ValueInfoProto, helper

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import captured


def cut_at(model: Model, tensors: Collection[str], nodes: Graph) -> Model:
    """The model with these tensors as inputs, and without what only they needed."""
    graph = model.proto.graph
    outputs = [x for x in graph.output if x.name not in tensors]
    kept, wanted = _needed(graph, tensors, {output.name for output in graph.output})
    inputs = [x for x in graph.input if x.name in wanted]
    inputs += [_declared(name, nodes) for name in tensors if name in wanted]
    return model.with_nodes(kept, inputs=inputs, outputs=outputs)


def cut_between(
    model: Model, given: Collection[str], asked: Collection[str], nodes: Graph
) -> Model:
    """The model that makes `asked` of `given`, and of its inputs where those do not suffice.

    Of tensors no more than type and number of axes is stated: they may be parts of what they were.
    """
    graph = model.proto.graph
    kept, wanted = _needed(graph, given, set(asked))
    fed = [x.name for x in graph.input if x.name in wanted and x.name not in given]
    inputs = [_open(name, nodes) for name in (*fed, *sorted(wanted.intersection(given)))]
    outputs = [ValueInfoProto(name=name) for name in asked]
    return model.with_nodes(kept, inputs=inputs, outputs=outputs, stated=())


def _needed(
    graph: onnx.GraphProto, tensors: Collection[str], wanted: set[str]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that make the wanted tensors where `tensors` are given, and all that is read."""
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        made = set(node.output) - {""}
        if not (made - set(tensors)) & wanted:
            continue
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for i, name in enumerate(copy.output):
            if name in tensors:  # its other outputs are still read
                copy.output[i] = f"{name}@replaced"
        kept.append(copy)
        wanted.update(node.input)
        wanted.update(captured(node))
    return kept[::-1], wanted


def _declared(name: str, nodes: Graph) -> ValueInfoProto:
    kind = nodes.type(name)
    return helper.make_tensor_value_info(name, kind.dtype, kind.shape)


def _open(name: str, nodes: Graph) -> ValueInfoProto:
    kind = nodes.type(name)
    shape = None if kind.shape is None else [None] * len(kind.shape)
    return helper.make_tensor_value_info(name, kind.dtype, shape)


__all__ = ["cut_at", "cut_between"]
