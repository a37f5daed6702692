"""Which tensors of the forward run a walk asks for: they follow from the plan and the method."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.ops.method import Method
from backtrace_onnx.propagation.last_layer import sharings_from
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.structures.base import Reads, Structure


@dataclass(frozen=True)
class TracedTensors:
    """Tensors of the forward run that a walk asks for; constants and inputs left out.

    Attributes:
        values: those whose values are asked for.
        shapes: those of which only the shape is asked for.
        before: those whose values in the run of the reference are asked for.
    """

    values: frozenset[str]
    shapes: frozenset[str]
    before: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Of all tensors."""
        return self.values | self.shapes | self.before


@dataclass(frozen=True)
class Asked:
    """Tensors that a walk asks for at one node: names, which may be constants.

    Attributes:
        values, shapes, before: as in `TracedTensors`.
        plain: whether what reaches the node and what it sends is no relevance among slopes.
        stabilised: whether its units are weighed against all others of their sample.
    """

    node: Node
    values: frozenset[str]
    shapes: frozenset[str]
    before: frozenset[str]
    plain: bool
    stabilised: bool


def find_traced(
    plan: Plan,
    method: Method,
    *,
    start: str = "",
    booked: bool = True,
    weighed: frozenset[str] = frozenset(),
) -> TracedTensors:
    """The tensors that a walk of the method over the plan asks for.

    Args:
        start: the tensor that it starts at, if that is known.
        booked: whether books are kept: where slopes travel, they weigh tensors on the way.
        weighed: tensors that they weigh by their values, whoever reads them.
    """
    asked = asked_by_nodes(plan, method, start=start, booked=booked, weighed=weighed)
    return made_by_run(plan.graph, asked)


def made_by_run(graph: Graph, asked: Iterable[Asked]) -> TracedTensors:
    """What these nodes ask for together, as far as the run makes it."""
    values, shapes, before = set[str](), set[str](), set[str]()
    for one in asked:
        values |= one.values
        shapes |= one.shapes
        before |= one.before
    return _run(graph, values, shapes, before)


def asked_by_nodes(
    plan: Plan,
    method: Method,
    *,
    start: str = "",
    booked: bool = True,
    weighed: frozenset[str] = frozenset(),
) -> Iterator[Asked]:
    """What the walk asks for, from the last node to the first; arguments as of `find_traced`."""
    weighs, rests = booked and method.carrier == "slope", set[str]()
    for node, structure, related in _walked(plan, method, start, weighed):
        values, shapes, before = set[str](), set[str](), set[str]()
        inputs, outputs = node.node.inputs, node.node.outputs
        for reads in _reads(structure, node, related=related):
            values.update(_named(inputs, reads.values), _named(outputs, reads.results))
            shapes.update(_named(inputs, reads.shapes))
            before.update(_named(inputs, reads.before), _named(outputs, reads.results_before))
        rest = None if related else node.rest
        books = set(_weighed(node, rest, rests)) if weighs else set()
        if method.carrier == "slope" and (related or structure.converts):
            books |= set(map(node.counterpart, node.carrying_outputs))  # slopes become relevance
        values |= books
        before |= books if method.differs else set()
        rests.update([] if rest is None else [inputs[rest]])
        sharing = node.sharing
        plain = sharing.weighed == "contributions" and not structure.relates
        plain = plain and not related and not structure.converts
        names = (frozenset(values), frozenset(shapes), frozenset(before))
        stabilised = bool(sharing.epsilon) and not sharing.absolute
        yield Asked(node.node, *names, plain or method.carrier != "slope", stabilised)


def _walked(
    plan: Plan, method: Method, start: str, weighed: frozenset[str]
) -> Iterator[tuple[PlannedNode, Structure, bool]]:
    """From the last node to the first: a node, its structure, and whether what reaches it may be
    relevance though slopes travel: ids and words have none."""
    sharing_of = sharings_from(start, plan, method)
    related: set[str] = set()
    for node in reversed(plan.graph.nodes):
        structure = plan.structures.get(node.name)
        if structure is None or not structure.carries:
            continue
        sharing = sharing_of(node)
        reached = not related.isdisjoint(node.outputs)
        if reached or structure.converts or structure.relates or sharing.weighed != "contributions":
            related.update(node.inputs)
        yield PlannedNode(node, plan, method, sharing, weighed), structure, reached


def _reads(structure: Structure, node: PlannedNode, *, related: bool) -> Iterator[Reads]:
    """What a structure asks for."""
    method = node.method
    slopes = method.carrier == "slope" and not structure.converts
    if related or not slopes:
        yield Reads(structure.values, structure.results, structure.shapes)
    if not slopes:
        return
    own = structure.slope_reads(node)
    if method.compares and structure.bends(node):  # on a line, where results are computed
        inputs = range(len(node.node.inputs))
        every = tuple(inputs if own.results else (i for i in own.values if i in inputs))
        own = Reads(every, (), own.shapes, before=tuple(i for i in every if node.moves(i)))
    yield own


def _weighed(node: PlannedNode, rest: int | None, rests: Collection[str]) -> Iterator[str]:
    """Tensors that the books of a node weigh: what it may hand on, and what that came from.

    Beside floats, integers are masks and places, which are sent nothing.

    Args:
        rest: the input that is sent what is left.
        rests: tensors of which it is known so.
    """
    graph = node.graph
    floats = any(graph.type(name).is_float for name in node.node.outputs if name)
    for i, name in enumerate(node.node.inputs):
        if name and i != rest and (node.carries(i) or not floats or graph.type(name).is_float):
            yield node.counterpart(name)
            if not node.graph.type(name).is_float:
                yield name
    yield from (node.counterpart(n) for n in node.carrying_outputs if n not in rests)


def _named(names: Sequence[str], indices: Iterable[int]) -> Iterator[str]:
    return (names[i] for i in indices if i < len(names))


def _run(graph: Graph, values: set[str], shapes: set[str], before: set[str]) -> TracedTensors:
    """Those that the run makes: constants are known, and others are computed of what it makes."""
    for name in reversed(tuple(graph.computed)):  # what is computed of others comes after them
        made = graph.computed[name]
        for asked in (values, before):
            asked.update(made.inputs if name in asked else ())
        shapes.update([made.like] if name in shapes else ())
    fixed = graph.constants.keys() | graph.computed.keys() | {""}
    return TracedTensors(*(frozenset(asked - fixed) for asked in (values, shapes, before)))
