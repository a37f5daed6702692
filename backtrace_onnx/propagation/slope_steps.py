"""Nodes of a walk of slopes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.mean_slopes import mean_slopes
from backtrace_onnx.propagation.node_step import RelevanceSteps, Steps
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.propagation.real_numbers import real_weighed
from backtrace_onnx.propagation.route import Route, find_route
from backtrace_onnx.propagation.slope_books import BookedSlopes, Worths, times
from backtrace_onnx.propagation.values import Values
from backtrace_onnx.structures.base import Channels, Pieces, Structure


def steps_of(
    method: Method,
    start: str,
    *,
    contrasted: bool = False,
    weighed: frozenset[str] = frozenset(),
) -> Steps:
    """How a method's walk sees nodes.

    Args:
        start: the tensor that the walk starts at.
        contrasted: whether it starts at one unit against another.
        weighed: tensors that books weigh by their values, whoever reads them.
    """
    if method.carrier != "slope":
        return RelevanceSteps()
    return _SlopeSteps(method, start, contrasted=contrasted, weighed=weighed)


class _SlopeSteps:
    """Makes the steps of one walk, which know of each other what was sent relevance.

    Attributes:
        related: tensors that have no slope, as ids and words do not: they are sent relevance.
        worths: of tensors whose maker is still to come.
    """

    def __init__(
        self, method: Method, start: str, *, contrasted: bool, weighed: frozenset[str]
    ) -> None:
        self.related: set[str] = set()
        self.worths: Worths = {}
        self._done: Sequence[str] = ()
        self._method, self._start = method, start
        self._how: Any = {"contrasted": contrasted, "weighed": weighed}

    def route(self, plan: Plan, method: Method) -> Route:
        """The nodes that are walked."""
        return find_route(plan, method, self._start, **self._how)

    def __call__(self, planned: PlannedNode, *given: Any) -> SlopeStep:
        """A node of the walk."""
        for name in self._done:
            self.worths.pop(name, None)
        self._done = planned.node.outputs
        return SlopeStep(planned, *given, related=self.related, worths=self.worths)

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """The relevance of a tensor where this is what travels."""
        if name in self.related:
            return carried
        name = name if self._method.differs else plan.opened.get(name, name)
        return times(real_weighed(name, plan, ops, values, self._method), carried, ops)

    def slopes(self, name: str) -> bool:
        """Whether what travels at a tensor is its slope."""
        return name not in self.related


class SlopeStep(BookedSlopes):
    """A node at whose outputs slopes lie, or relevance where these are ids or words."""

    def _relevance(self, name: str, carried: Channels) -> Channels:
        """The relevance of an output, that is handed on."""
        return carried if name in self._related else self._worth_of_slopes(name, carried)

    def pieces(self, structure: Structure) -> Pieces:
        """Slopes of the inputs; relevance of those that have none."""
        related = self._related
        if structure.converts or (related and not related.isdisjoint(self.node.outputs)):
            taking = {n for n, r in zip(self.node.outputs, self.outgoing, strict=True) if r}
            reached = bool(taking & self._related)
            if reached and (column := self._plan.column(self.node)) is not None:
                self._relate((column,))
                return {column: self._handed(self._relevance)[0] or []}
            if structure.converts or reached:
                return self._relevance_pieces(structure, taking)
        points = structure.bends(self) if self.method.compares else 0
        self._silent = self.silent
        pieces = mean_slopes(self, structure.slopes, points) if points else structure.slopes(self)
        self._silent = False
        if structure.relates or self.sharing.weighed != "contributions":
            self._relate(pieces)
            return pieces
        if self.rest is not None:
            pieces = self._rest_last(pieces, self.rest)
        if not related or related.isdisjoint(self.node.inputs):
            return pieces
        names = {i: self.node.inputs[i] for i in pieces}
        return {
            i: self._worth_of_slopes(names[i], own) if names[i] in self._related else own
            for i, own in pieces.items()
        }

    def _relevance_pieces(self, structure: Structure, taking: set[str]) -> Pieces:
        """Relevance of the inputs, of that of the outputs."""
        self.outgoing = self._handed(self._relevance)
        self._related |= taking
        pieces = structure.propagate(self)
        self._relate(pieces)
        return pieces

    def _rest_last(self, pieces: Pieces, rest: int) -> Pieces:
        """The pieces, that of the input whose relevance is what is left behind all others."""
        if rest not in pieces or self.node.inputs[rest] in self._related:
            return pieces
        self._resting = rest
        if len(pieces) == 1:
            return pieces
        return {**{i: own for i, own in pieces.items() if i != rest}, rest: pieces[rest]}

    def _relate(self, inputs: Iterable[int]) -> None:
        """Say that inputs are sent relevance."""
        names = {self.node.inputs[i] for i in inputs}
        self.relating = names - self._related
        self._related |= names

    def _worth_of_slopes(self, name: str, slopes: Channels) -> Channels:
        return times(self._weighed(self.counterparts[name]), slopes, self.ops)

    def joined(self, name: str, present: Channels | None, sent: Channels) -> Channels:
        """What an input has of others and of this node: relevance where one of the two is."""
        if name in self.relating:
            self.relating -= {name}  # what this node sends there again joins relevance
            present = present and self._worth_of_slopes(name, present)
        return super().joined(name, present, sent)

    def stabilised(self) -> Value:
        """The slope m of the output t, made m |t| / (|t| + e) (LRP-epsilon), e = epsilon rms t; or
        epsilon itself, where it is absolute."""
        (m,), epsilon, absolute = self.r, self.sharing.epsilon, self.sharing.absolute
        if not epsilon:
            return m
        axis, known = self.sample_axis(), self._plan.graph.type(self.node.outputs[0]).shape
        t = self.result()
        if self.node.outputs[0] in self._plan.infinite:
            t = self.ops.Where(self.ops.IsInf(t), self.ops.zero(), t)
        if absolute:
            kept, lost = self._damped(t, m, epsilon)
        else:
            squares = self._values.squares(self.node.outputs[0])
            kept, lost = self.ops.damp(t, m, epsilon, axis, known or (), squares)
        self.book("unassigned", 0, lost)
        return kept

    def _damped(self, t: Value, m: Value, epsilon: float) -> tuple[Value, Value | None]:
        """m |t| / (|t| + epsilon), and the total of what t is worth less."""

        def text(e: Ops, t: Value, m: Value) -> tuple[Value, Value]:
            size = e.Abs(t)
            kept = e.Mul(m, e.Div(size, e.Add(size, e.scalar(epsilon))))
            return kept, e.Mul(t, e.Sub(m, kept))

        key = f"{self.node.name}/damped/{epsilon}"
        kept, lost = self.ops.apply(key, text, t, m)
        return kept, self.ops.total(lost, self.sample_axis())
