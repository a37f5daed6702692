"""A node of the walk, as its structure sees it: values, what travels, and its books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from backtrace_onnx.errors import CompileError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.propagation.values import Values, read_tensor
from backtrace_onnx.structures.base import Channels, Pieces, Structure


class Steps(Protocol):
    """How a walk sees nodes, and what travels there."""

    def __call__(self, *given: Any) -> NodeStep:
        """A node of the walk."""

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """The relevance of a tensor where this is what travels."""

    def slopes(self, name: str) -> bool:
        """Whether what travels at a tensor is its slope."""


class NodeStep(PlannedNode):
    """A node of the walk, as its structure sees it (`structures.step.Step`)."""

    def __init__(
        self,
        node: Node,
        plan: Plan,
        ops: Ops,
        method: Method,
        values: Values,
        outgoing: Sequence[Channels | None],
        sample_axes: Callable[[str], int | None],
        *,
        sharing: Sharing = PLAIN,
    ) -> None:
        super().__init__(node, plan, method, sharing)
        policy = method.policy
        self.ops, self.outgoing = ops, outgoing
        self._values, self._sample_axes = values, sample_axes
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

    def weighed(self, i: int) -> Value:
        """What input `i` contributes by."""
        return self.tensor(self.node.inputs[i])

    def condition(self, i: int) -> Value:
        """Value of input `i`, which says how relevance is handed on."""
        return self.tensor(self.node.inputs[i])

    def value(self, i: int) -> Value:
        """As `condition`: rules that others wrote may have this word for both."""
        return self.condition(i)

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

    def sample_axis(self, tensor: str | None = None) -> int | None:
        """Axis of a tensor, the first output unless named, along which samples lie."""
        return self._sample_axes(tensor or self.node.outputs[0])

    def before(self, i: int) -> Value:
        """Value of input `i` in the run of a reference: relevance is compared to none."""
        raise NotImplementedError

    def exact_before(self, i: int) -> Value:
        """The same in its own dtype."""
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

    def joined(self, name: str, present: Channels | None, sent: Channels) -> Channels:
        """What an input has of other nodes, if anything, and of this one."""
        if present is None:
            return sent
        return [self.ops.Add(a, b) for a, b in zip(present, sent, strict=True)]

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

    def slopes(self, name: str) -> bool:
        """No slope travels."""
        return False
