"""Parts of a walk whose tensors are computed again when it comes to them, not kept from the run.

Where a text is long, what a walk asks for does not fit into memory: attention weights, [heads,
tokens, tokens] for every layer, least of all. Then the run returns little more than what layers
hand to each other. A part is a few layers: its nodes run again when the walk comes to them. Inside,
a stretch such as attention runs and is walked some rows at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TypeAlias

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.row_axes import Rows
from backtrace_onnx.ops.method import Method
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.stretches import Stretch, find_stretches
from backtrace_onnx.propagation.tensor_sizes import TensorSizes
from backtrace_onnx.propagation.traced_tensors import (
    Asked,
    TracedTensors,
    made_by_run,
)

MOST = 1 << 32  # bytes for each sample up to which one run keeps all that a walk asks for


@dataclass(frozen=True, eq=False)
class Part:
    """Nodes that run again when the walk comes to them.

    Attributes:
        members: nodes and parts inside, in order.
        asked: tensors that its run returns.
        given: tensors that its run may begin with.
        rows: where the rows lie along which it is cut; empty: it is walked at once.
        output: what the last node makes, of one that is cut.
        largest: size in bytes of its largest tensor, for one sample.
        stabilised: tensors whose units are weighed against all others of their sample.
    """

    members: Sequence[Member]
    asked: TracedTensors
    given: frozenset[str]
    rows: Mapping[str, Rows] = field(default_factory=dict)
    output: str = ""
    largest: int = 0
    stabilised: frozenset[str] = frozenset()

    @property
    def nodes(self) -> list[Node]:
        """All nodes, those of parts inside as well."""
        inner = (x.nodes if isinstance(x, Part) else [x] for x in self.members)
        return [node for nodes in inner for node in nodes]


Member: TypeAlias = Node | Part


@dataclass(frozen=True)
class WalkParts:
    """How a walk is cut.

    Attributes:
        members: in order.
        kept: tensors that the run returns for them.
    """

    members: tuple[Part, ...]
    kept: frozenset[str]


def find_parts(
    plan: Plan, method: Method, sizes: TensorSizes, asked: Sequence[Asked], whole: Collection[str]
) -> WalkParts | None:
    """The parts of a walk that asks for more than fits into memory; None of any other one.

    Walks without a stretch that can be cut are left as they are.

    Args:
        asked: what the walk asks for at its nodes.
        whole: tensors that are asked for as they are.
    """
    graph = plan.graph
    if method.differs or sum(map(sizes.bytes, made_by_run(graph, asked).values)) <= MOST:
        return None
    unfit = {one.node.name for one in asked if not one.plain}
    cut = {*plan.opened, *plan.opened.values()}  # a function at 0, which other nodes weigh as well
    fit = {n.name for n in graph.nodes if cut.isdisjoint((*n.inputs, *n.outputs))} - unfit
    stretches = find_stretches(graph, sizes, whole, fit)
    by_name = {one.node.name: one for one in asked}
    return _Cutter(graph, sizes, by_name, stretches).parts() if stretches else None


class _Cutter:
    """Cuts a walk into parts."""

    def __init__(
        self,
        graph: Graph,
        sizes: TensorSizes,
        asked: Mapping[str, Asked],
        stretches: Sequence[Stretch],
    ) -> None:
        self._graph, self._sizes, self._asked = graph, sizes, asked
        inside = {name for stretch in stretches for name in stretch.nodes}
        ends = {stretch.output: stretch for stretch in stretches}
        self._units: list[Node | Stretch] = [
            ends.get(node.outputs[0], node)
            for node in graph.nodes
            if node.outputs[0] in ends or node.name not in inside
        ]
        self._outputs = frozenset(ends)
        self._makers = {n: i for i, unit in enumerate(self._units) for n in _made(unit) if n}
        self._last: dict[str, int] = {}  # unit that reads a tensor last
        for i, unit in enumerate(self._units):
            self._last.update(dict.fromkeys(self._read(unit), i))

    def parts(self) -> WalkParts:
        """By the cuts that take the least memory of those that are tried."""
        total = sum(map(self._held, self._units))
        cuts = min((self._cuts(total >> k) for k in range(1, 10)), key=self._cost)
        kept = self._outputs.union(*map(self._crossing, cuts[1:-1]))
        slices = pairwise(cuts)
        return WalkParts(tuple(self._part(self._units[a:b], kept) for a, b in slices), kept)

    def _asked_by(self, nodes: Iterable[Node]) -> list[Asked]:
        return [self._asked[node.name] for node in nodes if node.name in self._asked]

    def _read(self, unit: Node | Stretch) -> frozenset[str]:
        """Tensors that a unit asks for, or runs with."""
        nodes = [unit] if isinstance(unit, Node) else unit.nodes.values()
        asked = self._asked_by(nodes)
        return made_by_run(self._graph, [*asked, *map(_running, nodes)]).values

    def _held(self, unit: Node | Stretch) -> int:
        """Bytes that a unit adds to its part."""
        return sum(self._sizes.bytes(name) for name in _made(unit) if name)

    def _crossing(self, cut: int) -> set[str]:
        """Tensors that units before a cut make and others read."""
        makers, last = self._makers, self._last
        return {name for name, i in makers.items() if i < cut <= last.get(name, -1)}

    def _cost(self, cuts: Sequence[int]) -> int:
        """Bytes that are held at most, about."""
        kept = set[str]().union(*map(self._crossing, cuts[1:-1]))
        held = (sum(map(self._held, self._units[a:b])) for a, b in pairwise(cuts))
        return sum(map(self._sizes.bytes, kept)) + 2 * max(held)

    def _cuts(self, most: int) -> list[int]:
        """Where parts begin that hold `most` bytes, about, and where the last one ends.

        Each is cut where the least crosses.
        """
        changes = [0] * (len(self._units) + 2)
        for name, i in self._makers.items():
            if self._last.get(name, -1) > i:
                changes[i + 1] += self._sizes.bytes(name)
                changes[self._last[name] + 1] -= self._sizes.bytes(name)
        crossing = list(accumulate(changes))
        cuts, held, i = [0], 0, 0
        while i < len(self._units):
            held += self._held(self._units[i])
            i += 1
            if held > most and i < len(self._units):
                i = min(range(i, cuts[-1], -1), key=crossing.__getitem__)
                cuts.append(i)
                held = 0
        return [*cuts, len(self._units)]

    def _part(self, units: Sequence[Node | Stretch], kept: frozenset[str]) -> Part:
        """The part of some units; it runs with the tensors that are kept."""
        members = [unit if isinstance(unit, Node) else self._cut(unit) for unit in units]
        asked = self._asked_by(member for member in members if isinstance(member, Node))
        given = kept.union(self._graph.inputs, self._graph.outputs)
        found = made_by_run(self._graph, asked)
        values = found.values.union(*(x.given for x in members if isinstance(x, Part))) - given
        return Part(members, TracedTensors(values, found.shapes - values - given), given)

    def _cut(self, stretch: Stretch) -> Part:
        """The part that walks a stretch some rows at a time."""
        positions = self._graph.positions
        nodes = sorted(stretch.nodes.values(), key=lambda node: positions[node.outputs[0]])
        asked, inner = self._asked_by(nodes), stretch.made - {stretch.output}
        found = made_by_run(self._graph, asked)
        return Part(
            nodes,
            TracedTensors(found.values & inner, (found.shapes & inner) - found.values),
            frozenset(stretch.rows) - stretch.made,
            stretch.cut,
            stretch.output,
            max(map(self._sizes.bytes, stretch.made)),
            frozenset(one.node.outputs[0] for one in asked if one.stabilised),
        )


def _made(unit: Node | Stretch) -> tuple[str, ...]:
    return unit.outputs if isinstance(unit, Node) else (unit.output,)


def _running(node: Node) -> Asked:
    """What a node reads as it runs."""
    read = frozenset(filter(None, node.inputs))
    return Asked(node, read, frozenset(), frozenset(), plain=True, stabilised=False)
