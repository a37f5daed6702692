"""Local functions written out: their nodes stand where they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

import onnx
from onnx import inliner

from backtrace_onnx.errors import ModelError
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import subgraphs
from backtrace_onnx.passes.function_opsets import levelled, other_opsets
from backtrace_onnx.rules import registry

_NODE_LIMIT = 200_000
Key = tuple[str, str, str]


def inlined(model: Model) -> Model:
    """The model with its local functions inlined, but for those that have a rule of their own.

    Raises ModelError for functions that call themselves or grow beyond all bounds.
    """
    functions = model.proto.functions
    kept = [f for f in functions if registry.lookup(f.domain, f.name, 1 << 30)]
    if len(kept) == len(functions):
        return model
    _check_size(model)
    proto = levelled(model.proto)
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


def _inline(proto: onnx.ModelProto, kept: Iterable[onnx.FunctionProto]) -> onnx.ModelProto:
    ids = [(f.domain, f.name) for f in kept]
    if ids:
        return inliner.inline_selected_functions(proto, ids, exclude=True)
    return inliner.inline_local_functions(proto, convert_version=True)


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
