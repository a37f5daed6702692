"""From a loaded model to the graph rules read: inline, expand, fold, infer, join."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

from backtrace_onnx.errors import ModelError
from backtrace_onnx.fold import fold
from backtrace_onnx.graph import Graph, Node
from backtrace_onnx.infer import infer
from backtrace_onnx.inline import canonical, expanded, inlined
from backtrace_onnx.join import join
from backtrace_onnx.model import Model
from backtrace_onnx.samples import find_samples
from backtrace_onnx.topology import captured, subgraphs
from backtrace_onnx.validity import blaming


def prepare(model: Model, protect: frozenset[str] = frozenset()) -> tuple[Model, Graph]:
    """The model that runs (functions inlined, operators expanded) and the graph rules read.

    Tensors in `protect` keep a relevance of their own: nothing is joined across them.
    Raises ModelError where the model cannot be prepared.
    """
    model = expanded(inlined(model))
    constants, folded = fold(model)
    graph, types = model.proto.graph, infer(model)
    inputs = tuple(x.name for x in graph.input if x.name not in model.weights)
    found = Graph(
        tuple(_node(node, model.opsets) for node in graph.node if node.name not in folded),
        inputs,
        tuple(o.name for o in graph.output),
        constants,
        types,
        model.opsets,
        samples=find_samples(model.proto, types, inputs),
    )
    with blaming(found.nodes, found.opsets):
        return model, join(found, protect)


def _node(proto: onnx.NodeProto, opsets: Mapping[str, int]) -> Node:
    domain = canonical(proto.domain)
    inputs = list(proto.input)
    if any(subgraphs(proto)):
        inputs += sorted(captured(proto))
    while inputs and not inputs[-1]:
        inputs.pop()
    return Node(
        proto.name,
        domain,
        proto.op_type,
        opsets.get(domain, 1),
        tuple(inputs),
        tuple(proto.output),
        {a.name: _attribute(a, proto.name) for a in proto.attribute},
        (proto.name,),
    )


def _attribute(attribute: onnx.AttributeProto, node: str) -> Any:
    try:
        value = helper.get_attribute_value(attribute)
    except ValueError:
        value = None
    if value is None:
        raise ModelError(f"attribute {attribute.name!r} of node {node!r} has no value")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.type in (attribute.INTS, attribute.FLOATS):
        return tuple(value)
    if attribute.type == attribute.STRINGS:
        return tuple(v.decode("utf-8", "replace") for v in value)
    return value
