"""Which rule holds at which node: ordered pairs of what is meant and how it shares.

The first pair that names a node decides. What is meant: a family of linear operators, "first" or
"last" of them, an operator, or a node or module by its name, with * for any text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import CONVOLUTIONS, PRODUCTS, RECURRENT, SUMS
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import Sharing

FAMILIES = ("convolution", "dense", "attention", "sum", "all", "first", "last")

Composite = tuple[tuple[str, Sharing], ...]


def find_sharings(
    method: Method, graph: Graph, carriers: frozenset[str]
) -> Callable[[Node], Sharing]:
    """How each node shares where slopes travel."""
    plain = Sharing(epsilon=method.epsilon)
    named = assigned(method.composite, graph, carriers)
    return lambda node: named.get(node.name, plain)


def assigned(composite: Composite, graph: Graph, carriers: frozenset[str]) -> Mapping[str, Sharing]:
    """The rule of every node that a pair names, by node name."""
    decided = deciding(composite, graph, carriers)
    return {name: composite[i][1] for name, i in decided.items()}


def deciding(composite: Composite, graph: Graph, carriers: frozenset[str]) -> Mapping[str, int]:
    """Which pair, by its number, decides at a node, by node name."""
    if not composite:
        return {}
    ends = {"first": _first(graph, carriers), "last": _last(graph, carriers)}
    found: dict[str, int] = {}
    for node in graph.nodes:
        for i, (what, _) in enumerate(composite):
            if _means(what, node, carriers, ends):
                found[node.name] = i
                break
    return found


def _means(
    what: str, node: Node, carriers: frozenset[str], ends: Mapping[str, frozenset[str]]
) -> bool:
    if what in ends:
        return node.name in ends[what]
    if what in FAMILIES:
        family = family_of(node, carriers)
        return family is not None and what in (family, "all")
    return what == node.op_type or any(
        fnmatchcase(name, what) for name in (node.name, *node.sources)
    )


def family_of(node: Node, carriers: frozenset[str]) -> str | None:
    """The family of linear operators that a node belongs to."""
    if node.op_type in CONVOLUTIONS:
        return "convolution"
    if node.op_type in PRODUCTS | RECURRENT:
        several = sum(name in carriers for name in node.inputs[:2]) > 1
        return "attention" if several else "dense"
    return "sum" if node.op_type in SUMS else None


def _layers(graph: Graph, carriers: frozenset[str]) -> list[Node]:
    """Nodes with weights."""
    layered = ("convolution", "dense")
    return [node for node in graph.nodes if family_of(node, carriers) in layered]


def _first(graph: Graph, carriers: frozenset[str]) -> frozenset[str]:
    """Layers that no other layer comes before."""
    layers = {node.name for node in _layers(graph, carriers)}
    return _outermost(layers, ((n.name, n.inputs, n.outputs) for n in graph.nodes))


def _last(graph: Graph, carriers: frozenset[str]) -> frozenset[str]:
    """Layers that no other layer comes after."""
    layers = {node.name for node in _layers(graph, carriers)}
    return _outermost(layers, ((n.name, n.outputs, n.inputs) for n in reversed(graph.nodes)))


def _outermost(
    layers: set[str], nodes: Iterable[tuple[str, Sequence[str], Sequence[str]]]
) -> frozenset[str]:
    """Layers that are met before any other one on each way.

    Args:
        nodes: in the order of the way: name, tensors towards its begin, tensors towards its end.
    """
    behind: set[str] = set()
    found = set()
    for name, begin, end in nodes:
        later = bool(behind.intersection(begin))
        if name in layers and not later:
            found.add(name)
        if later or name in layers:
            behind.update(end)
    return frozenset(found)
