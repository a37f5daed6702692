"""Local functions inlined; operators without a rule replaced by what they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter

import onnx
from onnx import inliner

from backtrace_onnx.errors import ModelError
from backtrace_onnx.expansions.narrow import read_once, widened
from backtrace_onnx.expansions.registry import find
from backtrace_onnx.expansions.whole_numbers import integer_products, on_floats
from backtrace_onnx.expansions.writing import expand
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import subgraphs
from backtrace_onnx.passes.function_opsets import levelled, other_opsets
from backtrace_onnx.rules import registry

_NODE_LIMIT = 200_000
_ROUNDS = 8  # bodies of bodies
Key = tuple[str, str, str]


def inlined(model: Model) -> Model:
    """Local functions inlined, but for those that have a rule of their own.

    Raises ModelError for functions that call themselves or grow beyond all bounds.
    """
    functions = model.proto.functions
    if not functions:
        return model
    _check_size(model)
    proto = levelled(model.proto)
    kept = [f for f in proto.functions if registry.lookup(f.domain, f.name, 1 << 30)]
    try:
        return model.with_proto(_inline(proto, kept))
    except Exception as error:  # the inliner raises its own C++ exceptions
        reason = str(error).strip().split("\n")[0]
        others = other_opsets(proto)
        if others:
            reason = (
                f"they are written in other operator sets than the model: {', '.join(others)}; "
                "export it with the opset of its functions (target_opset=, opset_version=); "
                f"{reason}"
            )
        raise ModelError(
            f"{model.name}: its local functions cannot be inlined ({reason})"
        ) from None


def expanded(model: Model) -> Model:
    """Operators without a rule, but with an expansion or a schema body, replaced by that."""
    products = integer_products(model)
    return on_floats(widened(read_once(_expanded(model))), products)


def _expanded(model: Model) -> Model:
    for _ in range(_ROUNDS):
        model = expand(model)
        wanted = {
            (node.domain, node.op_type)
            for node in model.proto.graph.node
            if not _has_rule(node, model.opsets)
            and _has_body(node, model.opsets)
            and find(canonical(node.domain), node.op_type) is None
        }
        before = len(model.proto.graph.node)
        if not wanted:
            return model
        try:
            proto = inliner.inline_selected_functions(
                _typed(model.proto), sorted(wanted), exclude=False, inline_schema_functions=True
            )
        except Exception:  # it stays, and is reported as unsupported with its nodes
            return model
        if len(proto.graph.node) == before:
            return model
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(model.proto.graph.value_info)
        model = model.with_proto(proto)
    return model


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


def _inline(proto: onnx.ModelProto, kept: Iterable[onnx.FunctionProto]) -> onnx.ModelProto:
    ids = [(f.domain, f.name) for f in kept]
    if ids:
        return inliner.inline_selected_functions(proto, ids, exclude=True)
    return inliner.inline_local_functions(proto, convert_version=True)


def is_known(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    """Whether a node has a rule, or something that it stands for."""
    expansion = find(canonical(node.domain), node.op_type)
    return _has_rule(node, opsets) or expansion is not None or _has_body(node, opsets)


def _has_rule(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    domain = canonical(node.domain)
    return registry.lookup(domain, node.op_type, opsets.get(domain, 1)) is not None


def _has_body(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    domain = canonical(node.domain)
    return has_body(domain, node.op_type, opsets.get(domain, 1))


def has_body(domain: str, op_type: str, version: int) -> bool:
    """Whether ONNX defines an operator of a standard domain by standard operators."""
    if op_type not in _bodies() or domain not in ("", "ai.onnx.ml"):
        return False
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return False
    return _is_function(schema)


@cache
def _bodies() -> frozenset[str]:
    return frozenset(s.name for s in onnx.defs.get_all_schemas() if _is_function(s))


def _is_function(schema: onnx.defs.OpSchema) -> bool:
    flags = ("has_function", "has_context_dependent_function")
    return any(bool(getattr(schema, flag)) for flag in flags)


def _check_size(model: Model) -> None:
    """Refuse functions whose inlining would never end, or end in millions of nodes."""
    calls = {_key(f): list(_calls(f.node)) for f in model.proto.functions}
    graph = {key: [c for c in called if c in calls] for key, called in calls.items()}
    sizes: dict[Key, int] = {}
    try:
        for key in TopologicalSorter(graph).static_order():
            sizes[key] = sum(sizes.get(called, 1) for called in calls[key])
    except CycleError as error:
        loop = " -> ".join(f"{domain}::{name}" for domain, name, _ in error.args[1])
        raise ModelError(f"{model.name}: its local functions call themselves: {loop}") from None
    total = sum(sizes.get(called, 1) for called in _calls(model.proto.graph.node))
    if total > _NODE_LIMIT:
        raise ModelError(
            f"{model.name}: with its local functions inlined it would have {total:,} nodes; "
            f"at most {_NODE_LIMIT:,} are allowed"
        )


def _key(function: onnx.FunctionProto) -> Key:
    return canonical(function.domain), function.name, function.overload


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[Key]:
    for node in nodes:
        yield canonical(node.domain), node.op_type, node.overload
        for graph in subgraphs(node):
            yield from _calls(graph.node)
