"""The model once more in a compiled file, on other values of some of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.compiler.forward_values import RenamedSymbols
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.model.topology import captured, renamed


def copy_model(
    ops: EmitOps,
    proto: onnx.ModelProto,
    graph: Graph,
    given: Mapping[str, str],
    prefix: str,
    free: Callable[[str], str] = str,
) -> RenamedSymbols:
    """Append every node that depends on the tensors given; the others are not run again.

    Args:
        ops: appends nodes to the file.
        proto: the model. graph: the same, as rules read it.
        given: by tensor the name of what takes its place.
        prefix: of the names in this run.
        free: returns a name, or raises where it is taken.

    Returns the tensors of the run.
    """
    names = dict(given)
    ops.like.update({made: (name, graph.type(name).dtype) for name, made in given.items()})
    for node in proto.graph.node:
        if names.keys().isdisjoint((*node.input, *captured(node))):
            continue
        made = {name for name in node.output if name}
        if made <= given.keys():
            continue
        names.update({name: free(prefix + name) for name in made - given.keys()})
        copy = renamed(node, names)
        unread = {given[name]: f"{prefix}unread/{name}" for name in made & given.keys()}
        copy.output[:] = [unread.get(name, name) for name in copy.output]
        copy.name = prefix + node.name
        ops.nodes.append(copy)
    return RenamedSymbols(ops, graph, names)


__all__ = ["copy_model"]
