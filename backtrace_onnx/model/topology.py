"""Names and order of a graph's nodes: unique names, one maker per tensor, topological order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

import onnx

from backtrace_onnx.errors import ModelError


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def bodies(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[onnx.NodeProto, onnx.GraphProto]]:
    """Every body below these nodes, with the node that it is of."""
    for node in nodes:
        for graph in subgraphs(node):
            yield node, graph
            yield from bodies(graph.node)


def captured(node: onnx.NodeProto) -> set[str]:
    """Names a node's bodies read from the graph around it."""
    names: set[str] = set()
    for graph in subgraphs(node):
        inner = {x.name for x in (*graph.input, *graph.initializer)}
        for child in graph.node:
            names |= {i for i in (*child.input, *captured(child)) if i and i not in inner}
            inner |= set(child.output)
        names |= {o.name for o in graph.output if o.name not in inner}
    return names


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy of a node that reads and makes tensors under their new names, in its bodies too.

    `names` gives the new name of a tensor; those that it does not hold keep theirs.
    """
    copy = _copy(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for graph in subgraphs(copy):
        _recapture(graph, dict(names))
    return copy


def _recapture(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename, in place, what a body reads from around it; its own names shadow those."""
    for value in (*graph.input, *graph.initializer):
        names.pop(value.name, None)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
        for inner in subgraphs(node):
            _recapture(inner, dict(names))
        for name in node.output:
            names.pop(name, None)
    for value in graph.output:
        value.name = names.get(value.name, value.name)


def living(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the wanted tensors depend on."""
    alive = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input, captured(node))
            alive.append(node)
    return alive[::-1]


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a unique name, from its first output where the file has none."""
    taken: set[str] = set()
    given = {node.name for node in graph.node}
    for node in graph.node:
        base = node.name or next((o for o in node.output if o), node.op_type)
        name, count = base, 1
        while name in taken or (name != node.name and name in given):
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        node.name = name


def sort_nodes(graph: onnx.GraphProto, model: str) -> None:
    """Sort nodes topologically in place; those in order already stay where they are.

    Raises ModelError naming a tensor made twice, read but never made, or in a cycle.
    """
    given = {x.name for x in (*graph.input, *graph.initializer)}
    makers = _makers(graph.node, given, model)
    needs = _needs(graph.node, makers, given, model)
    order = _ordered(needs)
    if len(order) < len(graph.node):
        stuck = sorted(set(range(len(graph.node))) - set(order))
        names = ", ".join(repr(graph.node[i].name) for i in stuck[:5])
        raise ModelError(f"{model}: the graph has a cycle, through or before node(s) {names}")
    if order != sorted(order):
        nodes = [_copy(graph.node[i]) for i in order]
        del graph.node[:]
        graph.node.extend(nodes)
    for output in graph.output:
        if output.name not in makers and output.name not in given:
            raise ModelError(f"{model}: no node makes the output {output.name!r}")


def _makers(
    nodes: Sequence[onnx.NodeProto], given: Iterable[str], model: str
) -> dict[str, int | None]:
    """Number of the node that makes each tensor."""
    makers: dict[str, int | None] = dict.fromkeys(given)
    for number, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in makers:
                raise ModelError(
                    f"{model}: node {node.name!r} makes the tensor {name!r}, which exists already; "
                    "every tensor needs a name of its own"
                )
            makers[name] = number
    return {name: number for name, number in makers.items() if number is not None}


def _needs(
    nodes: Sequence[onnx.NodeProto],
    makers: Mapping[str, int | None],
    given: Iterable[str],
    model: str,
) -> list[set[int]]:
    """For every node, the numbers of those it reads from."""
    needs: list[set[int]] = []
    given = set(given)
    for node in nodes:
        read = {name for name in (*node.input, *captured(node)) if name and name not in given}
        for name in sorted(name for name in read if name not in makers):
            raise ModelError(
                f"{model}: node {node.name!r} ({node.op_type}) reads {name!r}, which nothing makes"
            )
        needs.append({number for name in read if (number := makers[name]) is not None})
    return needs


def _ordered(needs: Sequence[set[int]]) -> list[int]:
    """Node numbers in topological order, smallest first; those in a cycle are left out."""
    users: list[list[int]] = [[] for _ in needs]
    for number, sources in enumerate(needs):
        for source in sources:
            users[source].append(number)
    waiting = [len(sources) for sources in needs]
    ready = [number for number, count in enumerate(waiting) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heappop(ready))
        for user in users[order[-1]]:
            waiting[user] -= 1
            if not waiting[user]:
                heappush(ready, user)
    return order


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
