"""Where relevance starts in one kind of request, and what the start reads there.

Both engines, the compiler and the notes ask this one place. The start tensor is always shaped like
the explained output and lies there; where it holds the scores' values, the head between hands them
on as they are, so that relevance starts at the scores in all but name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, cast

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.propagation.gauges import Gauges, find_gauges
from backtrace_onnx.propagation.node_step import NodeStep
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.planned_node import PlannedNode
from backtrace_onnx.propagation.values import SpannedValues, Values, before
from backtrace_onnx.structures.base import Channels, Step
from backtrace_onnx.targets.heads import UP_TO_A_CONSTANT, Head
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.start import StartSettings
from backtrace_onnx.targets.two_classes import TwoClasses

_SIDED = frozenset({"classification", "detection", "ctc", "contrast"})
_RAISED = {
    **dict.fromkeys(("classification", "detection", "ctc"), UP_TO_A_CONSTANT),
    "generation": UP_TO_A_CONSTANT | {""},
}
CONTRAST = "contrast"
"""What takes the place of a task where one entry is set against another."""
CHOSEN = "chosen"
"""What takes the place of a task where an earlier walk chose the start: slopes at the scores."""


class StartReadings(NamedTuple):
    """What a start reads beside the output, shaped like it; None where it reads no such thing.

    Attributes:
        scores: the values of the scores.
        sides: as `Head.sides`.
    """

    scores: Value | None
    sides: Value | None


@dataclass(frozen=True)
class StartSite:
    """Where a policy starts to explain an output.

    Attributes:
        whole: the plan of the way from the output to the inputs.
        task: the task, `CONTRAST`, or "start" where the caller gives relevance of his own.
        probability: whether the output itself was asked for.
        labels: how many classes have names; 0: that is not known.
    """

    head: Head
    whole: Plan
    method: Method
    task: str
    probability: bool = False
    labels: int = 0

    @property
    def policy(self) -> Policy:
        """How units share relevance."""
        return self.method.policy

    @property
    def two(self) -> TwoClasses:
        """What one entry alone says of two classes, as the graph or their names tell."""
        named = self.labels == 2 and not self.head.function
        return self.head.two or ("decision" if named else "")

    @property
    def carries_slopes(self) -> bool:
        """Whether slopes travel: they start at 1."""
        return self.method.carrier == "slope"

    @property
    def signed(self) -> bool:
        """Whether the start has a sign."""
        return self.policy.signed and self.policy.channels == 1

    @property
    def at_scores(self) -> bool:
        """Whether relevance starts at scores that the output is a function of."""
        own = self.task == "start"
        return self.signed and bool(self.head.function) and not self.probability and not own

    def raises(self, samples: SampleAxes, axes: OutputAxes) -> bool:
        """Whether negative scores are raised by a constant, up to which they are defined."""
        functions = _RAISED.get(self.task, frozenset())
        if not (self.policy.sided and self.head.function in functions):
            return False
        if not self.head.is_raisable(self.whole):
            return False
        axis, graph = samples(self.head.made), self.whole.graph
        made, shape = graph.type(self.head.made).shape, graph.type(self.head.output).shape
        if made is None or shape is None:
            return False
        if axes.samples is None or axis is None:
            return axes.samples is None
        own = shape[axes.samples]
        return own is not None and axis < len(made) and made[axis] == own

    def plan(self, ops: Ops, constant: Value | None, samples: SampleAxes, axes: OutputAxes) -> Plan:
        """The plan of the walk; `constant`: what `start.raising` says, [samples]."""
        if self.at_scores:
            return self.head.plan(self.whole)
        whole = self.head.mirrored(self.whole)
        if constant is None:
            return whole
        axis = None if axes.samples is None else samples(self.head.made)
        rank = self.whole.graph.type(self.head.made).rank or 1
        shape = [-1 if i == (axis or 0) else 1 for i in range(rank)]
        return self.head.raised(whole, ops.Reshape(constant, ints(*shape)), ops)

    def gauges(self, plan: Plan) -> Gauges:
        """Where sizes are taken in the walk of a plan."""
        over = [part.node.name for part in self.head.parts] if self.at_scores else []
        return find_gauges(plan, self.head.output, over)

    def options(self, how: StartSettings, *, alone: bool, raises: bool) -> StartSettings:
        """How the start is made; `alone`: a sample of the output has one entry."""
        return replace(
            how,
            signed=self.signed,
            logarithmic=self.head.logarithmic,
            binary=self.two if alone and self.task == "classification" else "",
            constant=raises,
        )

    @property
    def unbooked(self) -> frozenset[str]:
        """Nodes that no books are kept of: a head whose scores slopes start at."""
        parts = self.head.parts if self.carries_slopes else ()
        within = {name for name, known in self.whole.structures.items() if known.squashes}
        return frozenset(part.node.name for part in parts) - within

    def begun(
        self,
        ops: Ops,
        values: Values,
        axes: Callable[[str], int | None],
        start: Channels,
        part: Callable[[Value], Value] = lambda x: x,
    ) -> Channels:
        """The relevance of a start: where that is a slope times the scores, or the output, less
        those of the reference where there is one. `part`: where a start of slopes is not 0."""
        if not self.carries_slopes:
            return start
        after = cast(SpannedValues, values).after if self.method.spans else values
        worth = self._numbers(ops, after, axes)
        if self.method.differs:
            worth = ops.Sub(worth, self._numbers(ops, before(values), axes))
        return [ops.Mul(part(m), part(worth)) for m in start]

    def _numbers(self, ops: Ops, values: Values, axes: Callable[[str], int | None]) -> Value:
        """The scores, or the output where it holds them."""
        step = partial(_step, self.whole, ops, self.method, values, axes)
        scores = self.head.values(ops, step, self.whole) if self.at_scores else None
        if scores is None:
            return values.value(self.head.output)
        signs = self.head.signs(ops, step, self.whole)
        return scores if signs is None else ops.Mul(scores, signs)

    def read(self, ops: Ops, values: Values, axes: Callable[[str], int | None]) -> StartReadings:
        """What the start reads."""
        if self.carries_slopes:
            step = partial(_step, self.whole, ops, self.method, values, axes)
            signs = self.head.signs(ops, step, self.whole) if self.at_scores else None
            one = ops.ones(values.shape(self.head.output))
            return StartReadings(one if signs is None else signs, None)
        apart = self.policy.channels > 1 and self.task != "start"
        step = partial(_step, self.whole, ops, self.method, values, axes)
        scores = sides = None
        if self.at_scores or apart:
            scores = self.head.values(ops, step, self.whole)
        if apart and self.task in (_SIDED if not self.head.function else _SIDED | {"regression"}):
            sides = self.head.sides(ops, step, self.whole)
        return StartReadings(scores, sides)


def _step(
    plan: Plan,
    ops: Ops,
    method: Method,
    values: Values,
    axes: Callable[[str], int | None],
    node: Node,
) -> Step:
    planned = PlannedNode(node, plan, method)
    return NodeStep(planned, ops, values, [None] * len(node.outputs), axes)
