"""A graph while its nodes are being read as one: who makes and who uses each tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import DOMAIN, REGION
from backtrace_onnx.graph.regions import body, is_region, kinds

_SHAPES = frozenset({"Shape", "Size"})
_RANDOM = ("Bernoulli", "Multinomial", "Random")


class Draft:
    """A graph's nodes by position, of which a pass merges some.

    To read the shape of a tensor is no use of it, and what leads to no output uses nothing.

    Attributes:
        nodes: by position; None where a node has become part of another one.
        makers: position of the node that makes each tensor.
        readers: positions of the nodes that use each tensor.
        living: positions of the nodes that lead to a kept tensor.
        kept: tensors that keep a relevance of their own.
        aliases, hidden: what became of inner tensors, as in `Graph`.
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
        self._merged: dict[str, str] = {}  # name of a node -> that of the one it became part of

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
        self, members: Sequence[Node], alike: Iterable[str], normalised: Sequence[int] = ()
    ) -> Node:
        """Put a region in the place of these nodes, which are in topological order.

        The output of the last one stays. Tensors between them that are `alike` share its relevance;
        the others have none of their own.

        Args:
            normalised: axes that the region goes over, if it is a normalisation.
        """
        return self.replace(members, self.region(members, normalised), alike)

    def region(self, members: Sequence[Node], normalised: Sequence[int] = ()) -> Node:
        """The region that stands for these nodes; it uses what the first of them uses."""
        last = members[-1]
        attributes = {
            "members": tuple(members),
            "kinds": frozenset[str]().union(*(kinds(node) for node in members)),
            "divides": any(self._divides(node) for node in members),
            "normalised": tuple(normalised),
        }
        entry = self.uses(members[0])
        return Node(last.name, DOMAIN, REGION, 1, entry, last.outputs[:1], attributes)

    def _divides(self, node: Node) -> bool:
        """Whether a node divides by what is no constant."""
        if is_region(node):
            return bool(node.attributes["divides"])
        if node.op_type == "Div":
            return not self.fixed(node.inputs[1])
        if node.op_type == "Pow":
            exponent = self.graph.constants.get(node.inputs[1])
            return exponent is not None and bool((exponent < 0).all())
        return node.op_type == "Reciprocal"

    def replace(self, members: Sequence[Node], made: Node, alike: Iterable[str]) -> Node:
        """Put `made`, whose output is the last member's, in the place of these nodes.

        Inner tensors that are `alike` become aliases of that output, all others are hidden.
        """
        positions = [self.makers[node.outputs[0]] for node in members]
        for at, node in zip(positions, members, strict=True):
            self.nodes[at] = None
            for name in self.uses(node):
                self.readers[name].discard(at)
        self.nodes[positions[-1]] = made
        for name in self.uses(made):
            self.readers.setdefault(name, set()).add(positions[-1])
        self._merged.update({node.name: made.name for node in members if node.name != made.name})
        shared = set(alike)
        for name in (o for node in members[:-1] for o in node.outputs if o):
            del self.makers[name]
            if name in shared:
                self.aliases[name] = made.outputs[0]
            else:
                self.hidden[name] = made.name
        return made

    def finished(self) -> Graph:
        """The graph with what was merged, and what became of the tensors inside."""
        whole: dict[str, str] = {}
        for part in reversed(self._merged):
            whole[part] = whole.get(self._merged[part], self._merged[part])
        inside = {**self.graph.hidden, **self.hidden}
        hidden = {name: whole.get(node, node) for name, node in inside.items()}
        aliases: dict[str, str] = {}
        for name, shared in (*reversed(self.aliases.items()), *self.graph.aliases.items()):
            if shared in hidden:
                hidden[name] = hidden[shared]
            else:
                aliases[name] = aliases.get(shared, shared)
        nodes = tuple(_named(node) for node in self.nodes if node is not None)
        return replace(self.graph, nodes=nodes, aliases=aliases, hidden=hidden)


def _named(node: Node) -> Node:
    """A region with the names of the nodes it stands for."""
    if not is_region(node):
        return node
    names = (name for inner in body([node]) for name in inner.sources)
    return replace(node, sources=tuple(dict.fromkeys([node.name, *names])))


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
