"""Operators of ONNX that have no rule, but a body of others in ONNX's own definition of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import onnx
from onnx import inliner

from backtrace_onnx.expansions.registry import find
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.loading import Model
from backtrace_onnx.rules import registry


def with_bodies(model: Model) -> Model:
    """The model with the bodies of such operators in their place; the same object if it has none.

    One whose body cannot be written stays, and is reported as unsupported with its nodes.
    """
    nodes, opsets = model.proto.graph.node, model.opsets
    wanted = {(node.domain, node.op_type) for node in nodes if _stands_for_body(node, opsets)}
    if not wanted:
        return model
    try:
        proto = inliner.inline_selected_functions(
            _typed(model.proto), sorted(wanted), exclude=False, inline_schema_functions=True
        )
    except Exception:  # the inliner raises its own C++ exceptions
        return model
    if len(proto.graph.node) == len(nodes):
        return model
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(model.proto.graph.value_info)
    return model.with_proto(proto)


def is_known(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    """Whether a node has a rule, or something that it stands for."""
    expansion = find(canonical(node.domain), node.op_type)
    return _has_rule(node, opsets) or expansion is not None or _has_body(node, opsets)


def has_body(domain: str, op_type: str, version: int) -> bool:
    """Whether ONNX defines an operator of a standard domain by standard operators."""
    if op_type not in _with_body() or domain not in ("", "ai.onnx.ml"):
        return False
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return False
    return _is_function(schema)


def _stands_for_body(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    """Whether a node is to be replaced by its operator's body: where nothing else explains it."""
    return (
        not _has_rule(node, opsets)
        and _has_body(node, opsets)
        and find(canonical(node.domain), node.op_type) is None
    )


def _typed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that states the type of every tensor, for bodies that depend on them."""
    try:
        typed = onnx.shape_inference.infer_shapes(proto)
    except onnx.shape_inference.InferenceError:  # inference is help, not a condition
        typed = onnx.ModelProto.FromString(proto.SerializeToString())
    stated = {v.name for v in (*typed.graph.input, *typed.graph.value_info)}
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
        for t in typed.graph.initializer
        if t.name not in stated
    )
    return typed


def _has_rule(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    domain = canonical(node.domain)
    return registry.lookup(domain, node.op_type, opsets.get(domain, 1)) is not None


def _has_body(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    domain = canonical(node.domain)
    return has_body(domain, node.op_type, opsets.get(domain, 1))


@cache
def _with_body() -> frozenset[str]:
    return frozenset(s.name for s in onnx.defs.get_all_schemas() if _is_function(s))


def _is_function(schema: onnx.defs.OpSchema) -> bool:
    flags = ("has_function", "has_context_dependent_function")
    return any(bool(getattr(schema, flag)) for flag in flags)
