"""From a NodeProto to the node rules read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

from backtrace_onnx.errors import ModelError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.model.topology import captured, subgraphs


def canonical(domain: str) -> str:
    """The domain's one spelling: "" for ai.onnx."""
    return "" if domain == "ai.onnx" else domain


def read_node(proto: onnx.NodeProto, opsets: Mapping[str, int]) -> Node:
    """A node as the rules read it. Raises ModelError for an attribute without a value."""
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
