"""The walk back: from the last node to the first, each hands on the relevance that it received.

It names no operator. What a node sends is asked of its structure; here the pieces that a tensor is
sent by all its readers are summed back where it was broadcast, added, and booked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from backtrace_onnx.errors import CompileError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Channels


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


class NodeStep:
    """A node of the walk, as its structure sees it (`structures.base.Step`)."""

    def __init__(
        self,
        node: Node,
        plan: Plan,
        ops: Ops,
        policy: Policy,
        values: Values,
        outgoing: Sequence[Channels | None],
        sample_axes: Callable[[str], int | None],
    ) -> None:
        self.node, self.ops, self.policy, self.outgoing = node, ops, policy, outgoing
        self._plan, self._values, self._sample_axes = plan, values, sample_axes
        self.gate: Gate | None = plan.gates.get(node.name) if policy.gated else None
        self.drops = node.name in plan.structures and plan.structures[node.name].drops
        self.books: dict[str, list[list[Value]]] = {
            kind: [[] for _ in range(policy.channels)]
            for kind in ("data", "constants", "unassigned")
        }
        self.sent: dict[str, list[list[Value]]] = {}

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
        graph = self._plan.graph
        if name in graph.constants:
            array = graph.constants[name]
            wide = array.astype(self.ops.dtype, copy=False) if array.dtype.kind in "fV" else array
            # Another name: a compiled file holds the constant in its own dtype as well.
            return Constant(name, wide) if wide is array else Constant(f"{name}@wide", wide)
        if name in graph.computed:
            made = graph.computed[name]
            return self.ops.op(made.op_type, [self.tensor(x) for x in made.inputs])
        value = self._values.value(name)
        return self._defined(value) if name in self._plan.undefined else value

    def _defined(self, x: Value) -> Value:
        """x, and 0 where it is NaN or infinite."""
        ops = self.ops
        return ops.Where(ops.Less(ops.Abs(x), ops.scalar(np.inf)), x, ops.zero())

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

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        """Enter a total under "data", "constants" or "unassigned"."""
        if total is not None:
            self.books[kind][channel].append(total)

    def book_sent(self, tensor: str, channel: int, total: Value) -> None:
        """Enter a total under "data", and to which tensor it went."""
        self.book("data", channel, total)
        rows = self.sent.setdefault(tensor, [[] for _ in range(self.policy.channels)])
        rows[channel].append(total)


def propagate(
    plan: Plan,
    start: Mapping[str, Channels],
    *,
    ops: Ops,
    policy: Policy,
    values: Values,
    keep: Collection[str],
    sample_axes: Callable[[str], int | None],
    enter: Callable[[NodeStep], None],
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Channels]:
    """Hand relevance back from `start` (by tensor) to the inputs.

    Returns the channels of every tensor in `keep` that relevance reached.

    Args:
        plan: its nodes are walked, and its structures asked.
        ops: the backend, which computes or writes down.
        values: those of the forward run.
        sample_axes: by tensor, for the totals.
        enter: called with every node that received relevance, when it is done.
        advance: called once per node, for progress.
    """
    relevance: dict[str, Channels] = dict(start)
    kept: dict[str, Channels] = {}
    for node in reversed(plan.graph.nodes):
        advance()
        outgoing = [relevance.pop(name, None) if name else None for name in node.outputs]
        kept.update({n: r for n, r in zip(node.outputs, outgoing, strict=True) if r and n in keep})
        structure = plan.structures.get(node.name)
        if any(r is not None for r in outgoing):
            step = NodeStep(node, plan, ops, policy, values, outgoing, sample_axes)
            taking = [n for n, r in zip(node.outputs, outgoing, strict=True) if r]
            if structure is not None and plan.carriers.intersection(taking):
                with ops.scope(node.name):
                    _send(step, structure.propagate(step), relevance, plan)
            else:
                step.drops = True
            enter(step)
        values.release([*node.outputs, *_beneath(node, plan)])
    kept.update({name: r for name, r in relevance.items() if name in keep})
    return kept


def _beneath(node: Node, plan: Plan) -> list[str]:
    """Tensors of the model that a node's computed ones stand for, and that go with them."""
    graph = plan.graph
    like = {name: graph.computed[name].like for name in node.outputs if name in graph.computed}
    return [under for name, under in like.items() if graph.aliases.get(under) == name]


def _send(
    step: NodeStep, pieces: Mapping[int, Channels], relevance: dict[str, Channels], plan: Plan
) -> None:
    """Add what a node sends to its inputs' relevance, and book it."""
    for i, channels in pieces.items():
        name = step.node.inputs[i]
        carries = step.carries(i)
        kind = "constants" if step.is_constant(i) else "unassigned"
        alike = _alike(step, i, plan)
        axis = step.sample_axis(name if alike else None)
        for channel, piece in enumerate(channels):
            total = step.ops.total(piece, axis)
            if carries:
                step.book_sent(name, channel, total)
            else:
                step.book(kind, channel, total)
        if not carries:
            continue
        if not alike:
            channels = [step.ops.unbroadcast(piece, step.shape(i)) for piece in channels]
        present = relevance.get(name)
        relevance[name] = (
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
