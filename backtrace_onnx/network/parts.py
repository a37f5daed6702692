"""The parts of a network: its nodes, layers, modules and inputs, and the tensors they hand back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.module_scopes import NodeScopes
from backtrace_onnx.report.stages import stages_of

if TYPE_CHECKING:
    from backtrace_onnx.explainer import Explainer
    from backtrace_onnx.explanation import Explanation

Kind = Literal["node", "layer", "module", "input"]


@dataclass(frozen=True)
class NetworkPart:
    """Nodes that are told of together.

    Attributes:
        kind: a "node", a "layer" (as pictures of the flow show them), a "module" or an "input".
        operator: of a node; of a module its class; else "".
        nodes: those of the ledger; none of an input.
        tensors: what it makes and others read: there its relevance lies.
    """

    kind: Kind
    name: str
    operator: str
    nodes: tuple[str, ...]
    tensors: tuple[str, ...]


def find_parts(explainer: Explainer, made: Explanation, graph: Graph) -> list[NetworkPart]:
    """All parts on the way from what is explained to the inputs, each kind in walk order."""
    outputs = {node.name: node.outputs for node in graph.nodes}
    readers = {tensor: {node.name for node in nodes} for tensor, nodes in graph.consumers.items()}
    booked = tuple(made.ledger)

    def handed(nodes: Iterable[str]) -> tuple[str, ...]:
        own = dict.fromkeys(nodes)
        return tuple(
            tensor
            for name in own
            for tensor in outputs.get(name, ())
            if tensor in made.relevance
            and (tensor == made.output or readers.get(tensor, set()) - own.keys())
        )

    parts = [NetworkPart("node", n, made.ledger[n].operator, (n,), handed([n])) for n in booked]
    for stage in stages_of(explainer, made.output):
        nodes = tuple(name for name in stage.nodes if name in made.ledger)
        if nodes:
            parts.append(NetworkPart("layer", stage.name, "", nodes, handed(nodes)))
    for path, (kind, members) in _modules(made.places, booked).items():
        parts.append(NetworkPart("module", path, kind, members, handed(members)))
    return [*parts, *(NetworkPart("input", name, "", (), (name,)) for name in _inputs(made))]


def _inputs(made: Explanation) -> Iterator[str]:
    return (name for name in made.inputs if name in made.relevance)


def _modules(
    places: Mapping[str, NodeScopes], booked: Iterable[str]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Class and nodes of every module by its path, without the model itself."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name in booked:
        for path, kind in places[name].scopes if name in places else ():
            if path:
                found[path] = (kind, (*found.get(path, (kind, ()))[1], name))
    return found
