"""Stretches of a graph that can be walked some rows at a time, such as attention by its queries."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import MOVING
from backtrace_onnx.graph.row_axes import Rows, sources
from backtrace_onnx.propagation.tensor_sizes import TensorSizes

_MUCH = 8  # a node sums up where what it reads takes so many times the memory of what it makes
_LITTLE = 16  # what takes less than this part of the largest tensor is read as it is


@dataclass
class Stretch:
    """Nodes of which only the last makes what others read; all depend on the same rows.

    Attributes:
        nodes: by name.
        rows: where the rows lie in the tensors that they make and read; None: it is read whole.
        output: what the last node makes.
        largest: the largest tensor that the last node reads.
    """

    output: str
    nodes: dict[str, Node] = field(default_factory=dict)
    rows: dict[str, Rows | None] = field(default_factory=dict)
    largest: str = ""

    @property
    def made(self) -> set[str]:
        """The tensors that its nodes make."""
        return {name for node in self.nodes.values() for name in node.outputs if name}

    @property
    def cut(self) -> dict[str, Rows]:
        """Those tensors that hold the rows."""
        return {name: rows for name, rows in self.rows.items() if rows is not None}

    def add(self, node: Node, graph: Graph) -> bool:
        """Take a node that makes rows of the stretch in; False where that cannot be."""
        rows = self.rows[node.outputs[0]]
        found = None if rows is None else sources(graph, node, rows)
        if found is None:
            return False
        read = {name: found.get(i) for i, name in enumerate(node.inputs) if name}
        for name, own in read.items():
            if self.rows.get(name, own) != own or (own and name in graph.constants):
                return False
        if not graph.computed.keys().isdisjoint((*read, *node.outputs)):
            return False
        self.nodes[node.name] = node
        self.rows |= {name: own for name, own in read.items() if name not in graph.constants}
        return True


def find_stretches(
    graph: Graph, sizes: TensorSizes, whole: Collection[str], fit: Collection[str]
) -> list[Stretch]:
    """The stretches of a graph, in its order; no node is in two of them.

    Args:
        whole: tensors that are asked for as they are, so that none lies inside.
        fit: names of the nodes that may be part of one.
    """
    open_to = _Grower(graph, sizes, {*whole, *graph.outputs}, fit)
    found: list[Stretch] = []
    taken: set[str] = set()
    for node in graph.nodes:
        made = next(open_to.from_end(node), None)
        if made is not None and taken.isdisjoint(made.nodes):
            found.append(made)
            taken.update(made.nodes)
    return found


class _Grower:
    """Grows stretches from their last nodes."""

    def __init__(
        self, graph: Graph, sizes: TensorSizes, whole: set[str], fit: Collection[str]
    ) -> None:
        self._graph, self._sizes, self._fit = graph, sizes, fit
        beneath = {name for made in graph.computed.values() for name in (*made.inputs, made.like)}
        self._whole = whole | beneath | graph.computed.keys()

    def from_end(self, node: Node) -> Iterator[Stretch]:
        """Stretches whose last node is this one, or one that only shapes what it makes."""
        graph = self._graph
        reads = {name: self._sizes.bytes(name) for name in node.inputs if name}
        largest = max(reads, key=reads.__getitem__, default="")
        if len(node.outputs) != 1 or largest in graph.constants or largest in graph.inputs:
            return
        if (
            not reads
            or reads[largest] < _MUCH * self._sizes.bytes(node.outputs[0])
            or not reads[largest]
        ):
            return
        after = graph.consumers.get(node.outputs[0], ())
        ends = [node, *(reader for reader in after if reader.op_type in MOVING and len(after) == 1)]
        for end in ends:
            yield from self._from(end, largest)

    def _from(self, end: Node, largest: str) -> Iterator[Stretch]:
        output = end.outputs[0]
        rank = self._graph.type(output).rank or 0
        axes = [axis for axis in range(rank) if axis != self._graph.samples.get(output)]
        for axis in sorted(axes, key=lambda axis: -self._sizes.length(output, axis)):
            made = Stretch(output, rows={output: Rows(axis)}, largest=largest)
            if end.name in self._fit and made.add(end, self._graph):
                self._grow(made)
                if largest in made.made and made.rows[largest] is not None:
                    yield made

    def _grow(self, stretch: Stretch) -> None:
        """Take in what makes large tensors, as long as it can be and nothing else reads them."""
        waiting = list(stretch.cut)
        while waiting:
            name = waiting.pop()
            maker = self._graph.producers.get(name)
            if maker is None or maker.name in stretch.nodes or maker.name not in self._fit:
                continue
            if self._is_inner(name, maker, stretch) and stretch.add(maker, self._graph):
                waiting = list(stretch.cut)

    def _is_inner(self, name: str, maker: Node, stretch: Stretch) -> bool:
        readers = self._graph.consumers.get(name, ())
        if name in self._whole or any(reader.name not in stretch.nodes for reader in readers):
            return False
        least = self._sizes.bytes(stretch.largest)
        large = (self._sizes.bytes(n) * _LITTLE >= least for n in (name, *maker.inputs) if n)
        return len(maker.outputs) == 1 and any(large)


__all__ = ["Stretch", "find_stretches"]
