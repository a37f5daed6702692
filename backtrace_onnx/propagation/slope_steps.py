"""Nodes of a walk of slopes, and what slopes are worth: times the values they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.mean_slopes import mean_slopes
from backtrace_onnx.propagation.node_step import NodeStep, RelevanceSteps, Steps
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.propagation.real_numbers import reader_of, real_weighed
from backtrace_onnx.propagation.route import Route, find_route
from backtrace_onnx.propagation.values import Values, before, read_tensor, read_weighed
from backtrace_onnx.structures.base import Channels, Movement, Pieces, Structure


def steps_of(method: Method, start: str, *, contrasted: bool = False) -> Steps:
    """How a method's walk sees nodes.

    Args:
        start: the tensor that the walk starts at.
        contrasted: whether it starts at one unit against another.
    """
    if method.carrier != "slope":
        return RelevanceSteps()
    return _SlopeSteps(method, start, contrasted=contrasted)


class _SlopeSteps:
    """Makes the steps of one walk, which know of each other what was sent relevance.

    Attributes:
        related: tensors that have no slope, as ids and words do not: they are sent relevance.
        worths: by tensor what stands for it, a slope that it was sent, and what that is worth.
            A tensor with one reader has that slope itself, which is weighed once.
    """

    def __init__(self, method: Method, start: str, *, contrasted: bool) -> None:
        self.related: set[str] = set()
        self.worths: dict[str, tuple[str, Value, Value]] = {}
        self._done: Sequence[str] = ()
        self._method, self._start, self._contrasted = method, start, contrasted

    def route(self, plan: Plan, method: Method) -> Route:
        """The nodes that are walked."""
        return find_route(plan, method, self._start, contrasted=self._contrasted)

    def __call__(self, planned: PlannedNode, *given: Any) -> SlopeStep:
        """A node of the walk."""
        for name in self._done:
            self.worths.pop(name, None)
        self._done = planned.node.outputs
        return SlopeStep(planned, *given, walk=self)

    def worth(self, name: str, carried: Channels, plan: Plan, ops: Ops, values: Values) -> Channels:
        """The relevance of a tensor where this is what travels."""
        if name in self.related:
            return carried
        name = name if self._method.differs else plan.opened.get(name, name)
        return _times(real_weighed(name, plan, ops, values, self._method), carried, ops)

    def slopes(self, name: str) -> bool:
        """Whether what travels at a tensor is its slope."""
        return name not in self.related


def _times(number: Value, slopes: Channels, ops: Ops) -> Channels:
    """What slopes are worth where a tensor contributes by these numbers."""
    return [ops.Mul(number, m) for m in slopes]


def _is_usual(structure: Structure) -> bool:
    """Whether a node's outputs are worth what their slopes and values say, as they are."""
    return not structure.bare and type(structure).unit is Structure.unit


class SlopeStep(NodeStep):
    """A node at whose outputs slopes lie, or relevance where these are ids or words."""

    def __init__(self, *given: Any, walk: _SlopeSteps) -> None:
        super().__init__(*given)
        self._related, self._worths, self._silent = walk.related, walk.worths, False
        self._newly_related: set[str] = set()
        self._of_outputs: list[Channels | None] | None = None

    def handed(self) -> list[Channels | None]:
        """Relevance of the outputs: values times slopes."""
        if self._of_outputs is None:
            self._of_outputs = self._handed(self.worth)
        return self._of_outputs

    def _handed(self, worth_of: Callable[[str, Channels], Channels]) -> list[Channels | None]:
        structure = self._plan.structures.get(self.node.name)
        if structure is None or self.once("usual", lambda: _is_usual(structure)):
            found = zip(self.node.outputs, self.outgoing, strict=True)
            return [r and worth_of(name, r) for name, r in found]
        if structure.bare and (r := self.outgoing[structure.scores]):
            scores = structure.compared_scores(self)
            worth: list[Channels | None] = [None] * len(self.outgoing)
            worth[structure.scores] = _times(scores, r, self.ops)
            return worth
        unit = structure.unit(self)
        handed = []
        for name, r in zip(self.node.outputs, self.outgoing, strict=True):
            own = r and worth_of(name, r)
            handed.append(own if unit is None or not own else _times(unit, own, self.ops))
        return handed

    def _relevance(self, name: str, carried: Channels) -> Channels:
        """The relevance of an output, that is handed on."""
        return carried if name in self._related else self._worth_of_slopes(name, carried)

    def worth(self, name: str, carried: Channels) -> Channels:
        """The same as the walk's, weighed once for a tensor that this node alone reads."""
        if name in self._related:
            return carried
        (m,), other = carried, self.counterparts[name]
        known = self._worths.get(name)
        if known is None or known[0] != other or known[1] is not m:
            known = (other, m, self._products(name, other, m))
            self._worths[name] = known
        return [known[2]]

    def _products(self, name: str, other: str, m: Value) -> Value:
        """Slopes of a tensor times the values of what stands for it."""
        if other != name and self._plan.opened.get(name) == other == self.node.outputs[0]:
            return self.worth(other, self.r)[0]  # max(0, x): x m there is y m here
        if self.once(("plain", other), lambda: self._is_plain(other)):
            return self.ops.worth(self._values.value(other), m)
        if (
            not self.method.compares
            or self.method.spans
            or self.once(("apart", other), lambda: self._is_apart(other))
        ):
            return self.ops.worth(self._weighed(other), m)
        return self.ops.worth(self.tensor(other), m, self._before(other))

    def _is_apart(self, name: str) -> bool:
        """Whether a tensor's values are not what it contributes by."""
        return name in self._plan.infinite or reader_of(name, self._plan) is not read_weighed

    def _is_plain(self, name: str) -> bool:
        """Whether a tensor contributes by what the run made of it, as it is."""
        plan, graph = self._plan, self.graph
        made = name not in graph.constants and name not in graph.computed
        usual = name not in plan.infinite and name not in plan.undefined
        return made and usual and not self.method.differs and reader_of(name, plan) is read_weighed

    def pieces(self, structure: Structure) -> Pieces:
        """Slopes of the inputs; relevance of those that have none."""
        taking = {n for n, r in zip(self.node.outputs, self.outgoing, strict=True) if r}
        if taking & self._related and (column := self._plan.column(self.node)) is not None:
            self._relate((column,))
            return {column: self._handed(self._relevance)[0] or []}
        if structure.converts or taking & self._related:
            self.outgoing = self._handed(self._relevance)
            self._related |= taking
            pieces = structure.propagate(self)
            self._relate(pieces)
            return pieces
        points = structure.bends(self) if self.method.compares else 0
        self._silent = isinstance(structure, Movement)  # its bookings are of what travels
        pieces = mean_slopes(self, structure.slopes, points) if points else structure.slopes(self)
        self._silent = False
        if structure.relates or self.sharing.weighed != "contributions":
            self._relate(pieces)
            return pieces
        if self._related.isdisjoint(self.node.inputs):
            return pieces
        names = {i: self.node.inputs[i] for i in pieces}
        return {
            i: self._worth_of_slopes(names[i], own) if names[i] in self._related else own
            for i, own in pieces.items()
        }

    def joined(self, name: str, present: Channels | None, sent: Channels) -> Channels:
        """What an input has of others and of this node: relevance where one of the two is."""
        if name in self._newly_related:
            self._newly_related.discard(name)  # what this node sends there again joins relevance
            present = present and self._worth_of_slopes(name, present)
        return super().joined(name, present, sent)

    def _relate(self, inputs: Iterable[int]) -> None:
        """Say that inputs are sent relevance."""
        names = {self.node.inputs[i] for i in inputs}
        self._newly_related = names - self._related
        self._related |= names

    def _worth_of_slopes(self, name: str, slopes: Channels) -> Channels:
        return _times(self._weighed(self.counterparts[name]), slopes, self.ops)

    def settle(self, structure: Structure) -> None:
        """Book what is left of the node's relevance, where its structure leaves a rest."""
        if not self.ops.keeps_ledger:
            return
        fills, leaves = self.once("leaves", lambda: self._may_leave(structure))
        if not leaves:
            return
        left = None
        for name, r in zip(self.node.outputs, self.handed(), strict=True):
            if r is not None:
                total = self.ops.total(r[0], self._sample_axes(name))
                left = total if left is None else self.ops.Add(left, total)
        for kind in ("data", "constants", "unassigned"):
            for total in self.books[kind][0]:
                left = self.ops.Sub(left, total)
        self.book("constants" if fills else "unassigned", 0, left)

    def _may_leave(self, structure: Structure) -> tuple[bool, bool]:
        """Whether a rest is a constant's, and whether there may be one."""
        fills = structure.fills and not self.method.differs
        leaves = fills or structure.leaves(self)
        if self.method.differs:  # the reference may have gone another way than the sample
            leaves = bool(structure.bends(self) or structure.values or structure.results) or leaves
        return fills, leaves

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

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        """Enter a total, unless it is one of what travels, not of what that is worth."""
        if not self._silent and not (kind == "constants" and self.method.differs):
            super().book(kind, channel, total)

    def weighed(self, i: int) -> Value:
        """What input `i` contributes by."""
        return self._weighed(self.node.inputs[i])

    def before(self, i: int) -> Value:
        """Value of input `i` in the run of the reference."""
        return self._before(self.node.inputs[i])

    def exact_before(self, i: int) -> Value:
        """The same in its own dtype."""
        exact: Value = before(self._values).exact(self.node.inputs[i])
        return exact

    def result_before(self) -> Value:
        """Value of the first output in the run of the reference."""
        return self._before(self.node.outputs[0])

    def _before(self, name: str) -> Value:
        return read_tensor(name, self._plan, self.ops, before(self._values))

    def _weighed(self, name: str) -> Value:
        read = self.once(("weighed", name), lambda: reader_of(name, self._plan))
        return read(name, self._plan, self.ops, self._values, self.method)
