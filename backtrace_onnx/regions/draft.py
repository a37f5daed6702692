"""A graph while its nodes are being read as one: who makes and who reads each tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backtrace_onnx.graph import Graph, Node
from backtrace_onnx.regions.families import DOMAIN, REGION

_SHAPES = frozenset({"Shape", "Size"})
_RANDOM = ("Bernoulli", "Multinomial", "Random")


class Draft:
    """The nodes by position, some of them merged.

    Reading a tensor's shape is no use of it, and neither is what leads to no output.

    Attributes:
        nodes: by position; None where a node has become part of another one.
        makers: position of the node that makes each tensor.
        readers: positions of the nodes that use each tensor.
        living: positions of the nodes that lead to a kept tensor.
        kept: tensors that keep a relevance of their own.
    """

    def __init__(self, graph: Graph, kept: Iterable[str]) -> None:
        self.graph, self.kept = graph, frozenset(kept)
        self.nodes: list[Node | None] = list(graph.nodes)
        self.makers = {o: at for at, node in enumerate(graph.nodes) for o in node.outputs if o}
        self._shapes = _shape_only(graph)
        self.readers: dict[str, set[int]] = {}
        self.living = _living(graph, self.kept)
        for at in self.living:
            for name in self.uses(graph.nodes[at]):
                self.readers.setdefault(name, set()).add(at)
        self.aliases: dict[str, str] = {}
        self.hidden: dict[str, str] = {}

    def fixed(self, tensor: str) -> bool:
        """Whether a tensor holds a constant, or depends on shapes only."""
        return not tensor or tensor in self.graph.constants or tensor in self._shapes

    def uses(self, node: Node) -> tuple[str, ...]:
        """Tensors whose values a node uses, each once."""
        if node.op_type in _SHAPES and not node.domain:
            return ()
        return tuple(dict.fromkeys(name for name in node.inputs if not self.fixed(name)))

    def maker(self, tensor: str) -> Node | None:
        """The node that makes a tensor."""
        at = self.makers.get(tensor)
        return None if at is None else self.nodes[at]

    def only_reader(self, tensor: str) -> Node | None:
        """The one node that uses a tensor; None if there are more, or it is kept."""
        readers = self.readers.get(tensor, set())
        if tensor in self.kept or len(readers) != 1:
            return None
        return self.nodes[next(iter(readers))]

    def merge(
        self,
        members: Sequence[Node],
        op_type: str,
        entry: str,
        alike: Iterable[str],
        attributes: Mapping[str, Any],
    ) -> Node:
        """Put one node of our own for these, in topological order; the last one's output stays.

        Tensors between them that are `alike` share the output's relevance; others have none.
        """
        made = Node(
            members[-1].name,
            DOMAIN,
            op_type,
            1,
            (entry,),
            members[-1].outputs[:1],
            dict(attributes),
            sources(members),
        )
        return self.replace(members, made, alike)

    def replace(self, members: Sequence[Node], made: Node, alike: Iterable[str]) -> Node:
        """Put `made`, whose output is the last member's, in the place of these nodes."""
        positions = [self.makers[node.outputs[0]] for node in members]
        for at, node in zip(positions, members, strict=True):
            self.nodes[at] = None
            for name in self.uses(node):
                self.readers[name].discard(at)
        self.nodes[positions[-1]] = made
        for name in self.uses(made):
            self.readers.setdefault(name, set()).add(positions[-1])
        shared = set(alike)
        for name in (o for node in members[:-1] for o in node.outputs if o):
            del self.makers[name]
            if name in shared:
                self.aliases[name] = made.outputs[0]
            else:
                self.hidden[name] = made.name
        return made

    def finished(self) -> Graph:
        """The graph as it is read now."""
        aliases, hidden = dict(self.graph.aliases), dict(self.hidden)
        for name in self.aliases:
            shared = self.aliases[name]
            while shared in self.aliases:
                shared = self.aliases[shared]
            if shared in hidden:
                hidden[name] = hidden[shared]
            else:
                aliases[name] = shared
        nodes = tuple(node for node in self.nodes if node is not None)
        return replace(self.graph, nodes=nodes, aliases=aliases, hidden=hidden)


def sources(members: Iterable[Node]) -> tuple[str, ...]:
    """Names of the nodes that a merged one stands for, its own first."""
    *others, last = members
    names = [last.name, *last.sources, *(name for node in others for name in node.sources)]
    return tuple(dict.fromkeys(names))


def body(members: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes as they were before any were merged."""
    found: list[Node] = []
    for node in members:
        found += node.attributes["body"] if is_region(node) else [node]
    return tuple(found)


def is_region(node: Node) -> bool:
    """Whether a node is a region."""
    return node.domain == DOMAIN and node.op_type == REGION


def _shape_only(graph: Graph) -> frozenset[str]:
    """Tensors that depend on no value: shapes, and what is computed from them and constants."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.domain or node.op_type.startswith(_RANDOM):
            continue
        given = [i for i in node.inputs if i and i not in graph.constants]
        if node.op_type in _SHAPES or all(i in found for i in given):
            found.update(filter(None, node.outputs))
    return frozenset(found)


def _living(graph: Graph, kept: frozenset[str]) -> set[int]:
    """Positions of the nodes that lead to a kept tensor."""
    wanted, found = set(kept), set()
    for at in reversed(range(len(graph.nodes))):
        node = graph.nodes[at]
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            found.add(at)
    return found


__all__ = ["Draft", "body", "is_region", "sources"]
