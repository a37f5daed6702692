"""A node of the walk, as its structure sees it: values, what travels, and its books."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, Protocol, TypeAlias

import numpy as np

from backtrace_onnx.errors import CompileError
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.ledger import KINDS
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.propagation.route import Route, find_route
from backtrace_onnx.propagation.values import Values, read_tensor
from backtrace_onnx.structures.base import Channels, Pieces, Structure

Rows: TypeAlias = dict[str, list[list[Value]]]
"""Totals that were entered, per channel, by kind or tensor."""


class Steps(Protocol):
    """How a walk sees nodes, and what travels there."""

    def route(self, plan: Plan, method: Method) -> Route:
        """The nodes that are walked."""

    def __call__(self, planned: PlannedNode, *given: Any) -> NodeStep:
        """A node of the walk; arguments as of `NodeStep`."""

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """The relevance of a tensor where this is what travels."""

    def slopes(self, name: str) -> bool:
        """Whether what travels at a tensor is its slope."""


class NodeStep(PlannedNode):
    """A node of the walk, as its structure sees it (`structures.step.Step`).

    It is the planned node, which every walk finds ready, and what this walk adds to it.

    Attributes:
        outgoing: what its outputs received.
        books: what it received, sent and booked, by kind. sent: by tensor, what it sent.
        given: what it sent, by input.
        relating: tensors that this node is the first to send relevance where slopes travel.
    """

    relating: Set[str] = frozenset()

    def __init__(
        self,
        planned: PlannedNode,
        ops: Ops,
        values: Values,
        outgoing: Sequence[Channels | None],
        sample_axes: Callable[[str], int | None],
    ) -> None:
        self.__dict__.update(planned.__dict__)
        self.ops, self.outgoing = ops, outgoing
        self._values, self._sample_axes = values, sample_axes
        self.books: Rows = _blank(self.policy.channels)
        self.sent: Rows = {}
        self.given: list[tuple[int, Channels]] = []

    def takes(self) -> bool:
        """Whether an output that takes relevance received any."""
        for name, r in zip(self.node.outputs, self.outgoing, strict=True):
            if r and name in self.carrying_outputs:
                return True
        return False

    @property
    def r(self) -> Channels:
        """Relevance of the first output."""
        if self.outgoing[0] is None:
            raise CompileError(f"node {self.node.name!r} has no relevance at its first output")
        return self.outgoing[0]

    def weighed(self, i: int) -> Value:
        """What input `i` contributes by."""
        return read_tensor(self.node.inputs[i], self._plan, self.ops, self._values)

    def condition(self, i: int) -> Value:
        """Value of input `i`, which says how relevance is handed on."""
        return read_tensor(self.node.inputs[i], self._plan, self.ops, self._values)

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

    def settle(self) -> None:
        """Everything is sent: book what is left, where something may be (`leaving`)."""

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

    def piece_axis(self, i: int) -> int | None:
        """Axis along which samples lie in what input `i` is sent."""
        return self._sample_axes(self.node.inputs[i] if self.alike[i] else self.node.outputs[0])

    def book_piece(self, i: int, channels: Channels) -> None:
        """Enter what input `i` is sent: under "data", where it carries, and to which tensor."""
        name, axis = self.node.inputs[i], self.piece_axis(i)
        totals = [self.ops.total(piece, axis) for piece in channels]
        if not self.carrying[i]:
            for channel, of_piece in enumerate(totals):
                self.book(self.booked[i], channel, of_piece)
            return
        self.given.append((i, channels))
        present, self.sent[name] = self.sent.get(name), [[total] for total in totals]
        if present is not None:
            self.sent[name] = [[*a, *b] for a, b in zip(present, self.sent[name], strict=True)]
        for entered, total in zip(self.books["data"], totals, strict=False):
            entered.append(total)


class RelevanceSteps:
    """Relevance itself travels."""

    def route(self, plan: Plan, method: Method) -> Route:
        """The nodes that are walked."""
        return find_route(plan, method)

    def __call__(self, planned: PlannedNode, *given: Any) -> NodeStep:
        """A node of the walk."""
        return NodeStep(planned, *given)

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """What travels, as it is."""
        return carried

    def slopes(self, name: str) -> bool:
        """No slope travels."""
        return False


def _blank(channels: int) -> Rows:
    """Books of a node in which nothing is entered."""
    if channels == 1:
        return {"incoming": [[]], "data": [[]], "constants": [[]], "unassigned": [[]]}
    if channels == 2:
        two: Rows = {"incoming": [[], []], "data": [[], []]}
        return {**two, "constants": [[], []], "unassigned": [[], []]}
    return {kind: [[] for _ in range(channels)] for kind in KINDS}
