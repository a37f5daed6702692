"""The one tool by which passes rewrite what rules read: a graph while its nodes are read as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from backtrace_onnx.graph.graph import Computed, Graph, Node
from backtrace_onnx.graph.operator_families import DOMAIN, REGION
from backtrace_onnx.graph.regions import body, is_region, kinds


class Draft:
    """The nodes of a graph by position, some of them merged, replaced or taken out.

    What is merged is seen at once by whoever asks the draft; what is put, dropped or renamed shows
    in the finished graph only. Reading a tensor's shape is no use of it, and neither is what leads
    to no kept tensor.

    Attributes:
        nodes: by position; None where a node has become part of another one.
        makers: position of the node that makes each tensor.
        readers: positions of the nodes that read each tensor's values.
        living: positions of the nodes that lead to a kept tensor.
        kept: tensors that keep a relevance of their own: the outputs, and those asked for.
        constants: those that come to the graph's, by name.
        computed: tensors that come to those that the model does not make.
        hidden: tensors inside of what was merged or dropped, without a relevance of their own, and
            the names of the nodes they lie in.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.kept = graph, graph.kept | {*graph.outputs}
        self.nodes: list[Node | None] = list(graph.nodes)
        self.makers = dict(graph.positions)
        self.living = graph.living
        self.readers: dict[str, Set[int]] = dict(graph.readers)
        self.constants: dict[str, np.ndarray] = {}
        self.computed: dict[str, Computed] = {}
        self.hidden: dict[str, str] = {}
        self._changed: set[str] = set()  # tensors whose readers are no longer the graph's
        self._put: dict[str, tuple[Node, ...]] = {}
        self._alike: dict[str, str] = {}  # tensor inside -> the one whose relevance it shares
        self._parts: dict[str, str] = {}  # node -> the one that it became part of, by name
        self._renamed: dict[str, str] = {}

    # What is known ------------------------------------------------------------------------------

    def fixed(self, tensor: str) -> bool:
        """Whether a tensor holds a constant, or depends on shapes only."""
        return not tensor or tensor in self.graph.constants or tensor in self.graph.shape_only

    def uses(self, node: Node) -> tuple[str, ...]:
        """Tensors whose values a node uses, each once, without those that are fixed."""
        shapes = self.graph.shape_only
        return tuple(name for name in self.graph.reads(node) if name not in shapes)

    def maker(self, tensor: str) -> Node | None:
        """The node that makes a tensor."""
        at = self.makers.get(tensor)
        return None if at is None else self.nodes[at]

    def only_reader(self, tensor: str) -> Node | None:
        """The one node that reads a tensor, once; None if there are more, or it is kept."""
        readers = self.readers.get(tensor, ())
        if tensor in self.kept or len(readers) != 1:
            return None
        reader = self.nodes[next(iter(readers))]
        return reader if reader is not None and reader.inputs.count(tensor) == 1 else None

    # Several nodes as one -----------------------------------------------------------------------

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
            "beside": self._beside(members),
        }
        entry = self.uses(members[0])
        return Node(last.name, DOMAIN, REGION, 1, entry, last.outputs[:1], attributes)

    def _beside(self, members: Sequence[Node]) -> tuple[Node, ...]:
        """Nodes that tell the members shapes, and need not stay beside the region."""
        known = {*self.uses(members[0]), *(name for node in members for name in node.outputs)}
        waiting = [name for node in members for name in node.inputs if name]
        found: dict[int, Node] = {}
        while waiting:
            name = waiting.pop()
            constant = name in self.graph.constants
            node = None if name in known or constant else self.maker(name)
            if node is not None and self.makers[name] not in found:
                found[self.makers[name]] = node
                waiting += node.inputs
        return tuple(found[at] for at in sorted(found))

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

    def replace(self, members: Sequence[Node], made: Node, alike: Iterable[str] = ()) -> Node:
        """Put `made`, whose output is the last member's, in the place of these nodes.

        What the others make is inside of it; tensors that are `alike` share its relevance.
        """
        positions = [self.makers[node.outputs[0]] for node in members]
        for at, node in zip(positions, members, strict=True):
            self.nodes[at] = None
            for name in self.graph.reads(node):
                self._readers(name).discard(at)
        self.nodes[positions[-1]] = made
        if positions[-1] in self.living:
            for name in self.graph.reads(made):
                self._readers(name).add(positions[-1])
        self._parts.update({node.name: made.name for node in members if node.name != made.name})
        shared = set(alike)
        for name in (o for node in members[:-1] for o in node.outputs if o):
            del self.makers[name]
            if name in shared:
                self._alike[name] = made.outputs[0]
            else:
                self.hidden[name] = made.name
        return made

    def _readers(self, tensor: str) -> set[int]:
        """Readers of a tensor, to be changed: a set of the draft's own."""
        found = self.readers.get(tensor, frozenset())
        if tensor not in self._changed or not isinstance(found, set):
            self._changed.add(tensor)
            self.readers[tensor] = found = set(found)
        return found

    # One by one ---------------------------------------------------------------------------------

    def put(self, node: Node, *made: Node) -> None:
        """Put these, in order, in the place of a node: none, one or several."""
        self._put[node.name] = made

    def drop(self, node: Node, inside: Node) -> None:
        """Take out a node that is part of what is put in the place of another one."""
        self.put(node)
        self._parts[node.name] = inside.name
        self.hidden.update({name: inside.name for name in node.outputs if name})

    def rename(self, tensor: str, name: str) -> None:
        """Read a tensor under another name, whose relevance it shares, wherever it is read or made.

        Where what makes the tensor has become part of a linear operator, that is the name of what
        the operator makes now.
        """
        self._renamed[tensor] = name

    # The result ---------------------------------------------------------------------------------

    def finished(self) -> Graph:
        """The graph as it is read now; the one there was, if nothing has changed."""
        if not (self._put or self._changed or self._renamed):
            return self.graph
        graph, final, whole = self.graph, _followed(self._renamed), _followed(self._parts)
        inside = {**graph.hidden, **self.hidden}
        hidden = {name: whole.get(node, node) for name, node in inside.items()}
        aliases: dict[str, str] = {}
        for name, shared in _followed({**graph.aliases, **self._alike, **self._renamed}).items():
            if shared in hidden:
                hidden[name] = hidden[shared]
            else:
                aliases[name] = shared
        read = replace(
            graph,
            nodes=tuple(_renamed(_named(node), final) for node in self._finished_nodes()),
            constants={**graph.constants, **self.constants},
            aliases=aliases,
            hidden=hidden,
        )
        return read.with_computed(self.computed) if self.computed else read

    def _finished_nodes(self) -> Iterator[Node]:
        for node in self.nodes:
            if node is not None:
                yield from self._put.get(node.name, (node,))


def _followed(links: Mapping[str, str]) -> dict[str, str]:
    """Where each name leads in the end, through any number of links."""
    last: dict[str, str] = {}
    for name in links:
        passed = [name]
        while (end := last.get(passed[-1], links.get(passed[-1]))) is not None:
            passed.append(end)
        last.update(dict.fromkeys(passed[:-1], passed[-1]))
    return {name: last[name] for name in links}


def _renamed(node: Node, final: Mapping[str, str]) -> Node:
    """A node with its tensors under their final names."""
    if not final or final.keys().isdisjoint((*node.inputs, *node.outputs)):
        return node
    inputs, outputs = (
        tuple(final.get(name, name) for name in names) for names in (node.inputs, node.outputs)
    )
    return replace(node, inputs=inputs, outputs=outputs)


def _named(node: Node) -> Node:
    """A region with the names of the nodes it stands for."""
    if node.sources or not is_region(node):
        return node
    names = (name for inner in body([node]) for name in inner.sources)
    return replace(node, sources=tuple(dict.fromkeys([node.name, *names])))
