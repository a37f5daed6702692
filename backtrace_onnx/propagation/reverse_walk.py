"""The walk back: from the last node to the first, each hands on the relevance that it received.

It names no operator. What a node sends is asked of its structure; here the pieces that a tensor is
sent by all its readers are summed back where it was broadcast, added, and booked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from backtrace_onnx.errors import CompileError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Channels, Pieces, Structure


class Values(Protocol):
    """Where the values of the forward run are."""

    def value(self, name: str) -> Value:
        """A tensor's value; floats in the dtype of the relevance."""

    def exact(self, name: str) -> Value:
        """A tensor's value in its own dtype."""

    def shape(self, name: str) -> Value:
        """A tensor's shape, int64[rank]."""

    def release(self, names: Sequence[str]) -> None:
        """Forget these tensors: no node that is still to come reads them."""


class Steps(Protocol):
    """How a walk sees nodes, and what travels there."""

    def __call__(self, *given: Any) -> NodeStep:
        """A node of the walk."""

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """The relevance of a tensor where this is what travels."""


class NodeStep:
    """A node of the walk, as its structure sees it (`structures.base.Step`)."""

    def __init__(
        self,
        node: Node,
        plan: Plan,
        ops: Ops,
        method: Method,
        values: Values,
        outgoing: Sequence[Channels | None],
        sample_axes: Callable[[str], int | None],
    ) -> None:
        policy = method.policy
        self.node, self.ops, self.outgoing = node, ops, outgoing
        self.method, self.policy = method, policy
        self._plan, self._values, self._sample_axes = plan, values, sample_axes
        self.gate: Gate | None = plan.gates.get(node.name) if policy.gated else None
        self.drops = node.name in plan.structures and plan.structures[node.name].drops
        self.books: dict[str, list[list[Value]]] = {
            kind: [[] for _ in range(policy.channels)]
            for kind in ("data", "constants", "unassigned")
        }
        self.sent: dict[str, list[list[Value]]] = {}
        self.given: list[tuple[Channels, int | None]] = []  # what it sent, and its sample axis

    @property
    def r(self) -> Channels:
        """Relevance of the first output."""
        if self.outgoing[0] is None:
            raise CompileError(f"node {self.node.name!r} has no relevance at its first output")
        return self.outgoing[0]

    def value(self, i: int) -> Value:
        """Value of input `i`."""
        return self.tensor(self.node.inputs[i])

    def tensor(self, name: str) -> Value:
        """Value of a tensor by name."""
        return read_tensor(name, self._plan, self.ops, self._values)

    def exact(self, i: int) -> Value:
        """Value of input `i`, which is no constant, in its own dtype."""
        return self._values.exact(self.node.inputs[i])

    def result(self, i: int = 0) -> Value:
        """Value of output `i`."""
        return self.tensor(self.node.outputs[i])

    def shape(self, i: int) -> Value:
        """Shape of input `i`."""
        graph, name = self._plan.graph, self.node.inputs[i]
        while name in graph.computed:
            name = graph.computed[name].like
        if name in graph.constants:
            return np.array(graph.constants[name].shape, np.int64)
        return self._values.shape(name)

    def carries(self, i: int) -> bool:
        """Whether input `i` takes relevance."""
        return self.node.inputs[i] in self._plan.carriers

    def is_constant(self, i: int) -> bool:
        """Whether input `i` is a model constant."""
        return self.node.inputs[i] in self._plan.graph.constants

    def is_gate(self, i: int) -> bool:
        """Whether input `i` descends from integers and booleans only."""
        return self.node.inputs[i] in self._plan.integral

    def nonnegative(self, i: int) -> bool:
        """Whether input `i` is known to have no negative entry."""
        return self.node.inputs[i] in self._plan.nonnegative

    def infinite(self, i: int) -> bool:
        """Whether input `i` may hold infinities."""
        return self.node.inputs[i] in self._plan.infinite

    def sample_axis(self, tensor: str | None = None) -> int | None:
        """Axis of a tensor, the first output unless named, along which samples lie."""
        return self._sample_axes(tensor or self.node.outputs[0])

    @property
    def holds(self) -> bool:
        """Whether what divides is taken as a constant."""
        return self.method.statistics == "held"

    @property
    def sharing(self) -> Sharing:
        """How this node shares where slopes travel: not at all."""
        return PLAIN

    def before(self, i: int) -> Value:
        """Value of input `i` in the run of a reference: relevance is compared to none."""
        raise NotImplementedError

    def result_before(self) -> Value:
        """Value of the first output in that run."""
        raise NotImplementedError

    def stabilised(self) -> Value:
        """The slope of the first output: relevance has none."""
        raise NotImplementedError

    def pieces(self, structure: Structure) -> Pieces:
        """What the inputs are sent."""
        return structure.propagate(self)

    def settle(self, structure: Structure) -> None:
        """Everything is sent: book what is left, if that is allowed."""

    def worth(self, name: str, carried: Channels) -> Channels:
        """The relevance of a tensor where this is what travels."""
        return carried

    def handed(self) -> Sequence[Channels | None]:
        """Relevance of the outputs."""
        return self.outgoing

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        """Enter a total under "data", "constants" or "unassigned"."""
        if total is not None:
            self.books[kind][channel].append(total)

    def book_sent(self, tensor: str, channel: int, total: Value) -> None:
        """Enter a total under "data", and to which tensor it went."""
        self.book("data", channel, total)
        rows = self.sent.setdefault(tensor, [[] for _ in range(self.policy.channels)])
        rows[channel].append(total)


class RelevanceSteps:
    """Relevance itself travels."""

    def __call__(self, *given: Any) -> NodeStep:
        """A node of the walk."""
        return NodeStep(*given)

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """What travels, as it is."""
        return carried


def read_tensor(name: str, plan: Plan, ops: Ops, values: Values) -> Value:
    """A tensor's value: a constant, one that is computed of others, or one of the run."""
    graph = plan.graph
    if name in graph.constants:
        array = graph.constants[name]
        wide = array.astype(ops.dtype, copy=False) if array.dtype.kind in "fV" else array
        # Another name: a compiled file holds the constant in its own dtype as well.
        return Constant(name, wide) if wide is array else Constant(f"{name}@wide", wide)
    if name in graph.computed:
        made = graph.computed[name]
        return ops.op(made.op_type, [read_tensor(x, plan, ops, values) for x in made.inputs])
    x = values.value(name)
    if name not in plan.undefined:
        return x
    return ops.Where(ops.Less(ops.Abs(x), ops.scalar(np.inf)), x, ops.zero())


@dataclass(frozen=True)
class Walked:
    """What a walk brought to the tensors that were asked for, by name.

    Attributes:
        relevance: channels of relevance.
        carried: what travelled: the same, or slopes.
    """

    relevance: dict[str, Channels] = field(default_factory=dict)
    carried: dict[str, Channels] = field(default_factory=dict)

    def fill(self, zeros: Mapping[str, Value], channels: int) -> None:
        """Tensors that nothing reached have zeros."""
        for name, zero in zeros.items():
            for kind in (self.relevance, self.carried):
                kind.setdefault(name, [zero.copy() for _ in range(channels)])

    def reported(self, method: Method) -> dict[str, Channels]:
        """What the method tells of tensors."""
        return self.carried if method.reported == "slope" else self.relevance


def propagate(
    plan: Plan,
    start: Mapping[str, Channels],
    *,
    ops: Ops,
    method: Method,
    values: Values,
    keep: Collection[str],
    sample_axes: Callable[[str], int | None],
    enter: Callable[[NodeStep], None],
    steps: Steps | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Walked:
    """Hand what travels back from `start` (by tensor) to the inputs.

    Returns the channels of every tensor in `keep` that was reached.

    Args:
        plan: its nodes are walked, and its structures asked.
        ops: the backend, which computes or writes down.
        values: those of the forward run.
        sample_axes: by tensor, for the totals.
        enter: called with every node that received relevance, when it is done.
        advance: called once per node, for progress.
    """
    steps = steps or RelevanceSteps()
    carried: dict[str, Channels] = dict(start)
    kept = Walked()

    def arrived(found: Mapping[str, Channels | None]) -> None:
        for name, r in found.items():
            if r and name in keep:
                kept.carried[name] = r
                kept.relevance[name] = steps.worth(name, r, plan, ops, values)

    for node in reversed(plan.graph.nodes):
        advance()
        outgoing = [carried.pop(name, None) if name else None for name in node.outputs]
        arrived(dict(zip(node.outputs, outgoing, strict=True)))
        if any(r is not None for r in outgoing):
            step = steps(node, plan, ops, method, values, outgoing, sample_axes)
            _leave(step, carried, plan)
            enter(step)
        values.release([*node.outputs, *_beneath(node, plan)])
    arrived(carried)
    return kept


def _leave(step: NodeStep, carried: dict[str, Channels], plan: Plan) -> None:
    """Hand what arrived at a node to its inputs; what it cannot take is dropped."""
    structure = plan.structures.get(step.node.name)
    taking = [n for n, r in zip(step.node.outputs, step.outgoing, strict=True) if r]
    if structure is None or not plan.carriers.intersection(taking):
        step.drops = True
        return
    with step.ops.scope(step.node.name):
        _send(step, step.pieces(structure), carried, plan)
        step.settle(structure)


def _beneath(node: Node, plan: Plan) -> list[str]:
    """Tensors of the model that a node's computed ones stand for, and that go with them."""
    graph = plan.graph
    like = {name: graph.computed[name].like for name in node.outputs if name in graph.computed}
    return [under for name, under in like.items() if graph.aliases.get(under) == name]


def _send(
    step: NodeStep, pieces: Mapping[int, Channels], carried: dict[str, Channels], plan: Plan
) -> None:
    """Add what a node sends to what its inputs have, and book it."""
    for i, channels in pieces.items():
        name = step.node.inputs[i]
        carries = step.carries(i)
        kind = "constants" if step.is_constant(i) else "unassigned"
        alike = _alike(step, i, plan)
        axis = step.sample_axis(name if alike else None)
        worth = step.worth(name, channels)
        step.given.extend([(list(worth), axis)] if carries else [])
        for channel, piece in enumerate(worth):
            total = step.ops.total(piece, axis)
            if carries:
                step.book_sent(name, channel, total)
            else:
                step.book(kind, channel, total)
        if not carries:
            continue
        if not alike:
            channels = [step.ops.unbroadcast(piece, step.shape(i)) for piece in channels]
        present = carried.get(name)
        carried[name] = (
            channels
            if present is None
            else [step.ops.Add(a, b) for a, b in zip(present, channels, strict=True)]
        )


def _alike(step: NodeStep, i: int, plan: Plan) -> bool:
    """Whether a piece for input `i` has that input's own shape, not the broadcast one."""
    if i not in plan.structures[step.node.name].broadcasts:
        return True
    own = plan.graph.type(step.node.inputs[i]).shape
    full = plan.graph.type(step.node.outputs[0]).shape
    return own is not None and own == full and None not in own
