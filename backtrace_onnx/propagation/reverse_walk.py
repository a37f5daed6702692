"""The walk back: from the last node to the first, each hands on the relevance that it received.

It names no operator. What a node sends is asked of its structure; here the pieces that a tensor is
sent by all its readers are summed back where it was broadcast, added, and booked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.conditions import Condition
from backtrace_onnx.propagation.node_step import NodeStep, RelevanceSteps, Steps
from backtrace_onnx.propagation.part_runs import PartRuns
from backtrace_onnx.propagation.parts import Member, Part
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.route import Route
from backtrace_onnx.propagation.values import Values
from backtrace_onnx.structures.base import Channels


@dataclass(frozen=True)
class Walked:
    """What a walk brought to the tensors that were asked for, by name.

    Attributes:
        relevance: channels of relevance.
        carried: what travelled: the same, or slopes.
        slopes: of those at which slopes travelled.
    """

    relevance: dict[str, Channels] = field(default_factory=dict)
    carried: dict[str, Channels] = field(default_factory=dict)
    slopes: dict[str, Channels] = field(default_factory=dict)

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
    advance: Callable[[], None] | None = None,
    through: Sequence[Condition] = (),
    enter_cut: Callable[[str, Channels], None] = lambda name, r: None,
    runs: PartRuns | None = None,
) -> Walked:
    """Hand what travels back from `start` (by tensor) to the inputs.

    Returns the channels of every tensor in `keep` that was reached, as far as they passed.

    Args:
        plan: its nodes are walked, and its structures asked.
        ops: the backend, which computes or writes down.
        values: those of the forward run.
        sample_axes: by tensor, for the totals.
        enter: called with every node that received relevance, when it is done.
        advance: called once per node, for progress.
        through: which parts of tensors are passed; the rest is cut.
        enter_cut: called with a tensor's name and the relevance that is cut there.
        runs: runs of the parts that are walked in place of the plan's nodes.
    """
    steps = steps or RelevanceSteps()
    carried: dict[str, Channels] = dict(start)
    worth = partial(steps.worth, plan=plan, ops=ops)
    arrivals = _Arrivals(keep, {c.tensor: c for c in through}, steps.slopes, worth, ops, enter_cut)
    route = steps.route(plan, method)
    named = not isinstance(ops.scope(""), nullcontext)
    how = (plan, route, ops, sample_axes, steps, enter, advance, arrivals, runs, named)
    members = plan.graph.nodes if runs is None else runs.parts.members
    _Walk(*how).over(members, carried, values)
    for name, r in carried.items():
        arrivals.pass_on(name, r, values)
    return arrivals.kept


@dataclass(frozen=True)
class _Walk:
    """What a walk is made with; arguments as of `propagate`.

    Attributes:
        named: whether what is written belongs to the node that is walked, by its name.
    """

    plan: Plan
    route: Route
    ops: Ops
    sample_axes: Callable[[str], int | None]
    steps: Steps
    enter: Callable[[NodeStep], None]
    advance: Callable[[], None] | None
    arrivals: _Arrivals
    runs: PartRuns | None
    named: bool

    def over(self, members: Sequence[Member], carried: dict[str, Channels], values: Values) -> None:
        """Hand on what is carried, from the last member to the first."""
        for member in reversed(members):
            if type(member) is Node:
                self._node(member, carried, values)
            elif self.runs is not None and isinstance(member, Part):
                self._part(member, self.runs, carried, values)

    def _node(self, node: Node, carried: dict[str, Channels], values: Values) -> None:
        if self.advance is not None:
            self.advance()
        planned = self.route.nodes.get(node.name) or self.route.plan(node)
        outgoing = [carried.pop(name, None) for name in node.outputs]
        reached = False
        for i, r in enumerate(outgoing):
            if r is None:
                continue
            reached = True
            if (name := node.outputs[i]) in self.arrivals.watched:
                outgoing[i] = self.arrivals.pass_on(name, r, values)
        if reached:
            step = self.steps(planned, self.ops, values, outgoing, self.sample_axes)
            if not self.named:
                self._leave(step, carried)
                self.enter(step)
            else:
                with self.ops.scope(node.name):
                    self._leave(step, carried)
                    self.enter(step)
        values.release(planned.last_read)

    def _leave(self, step: NodeStep, carried: dict[str, Channels]) -> None:
        """Hand what arrived at a node to its inputs; what it cannot take is dropped."""
        structure = self.plan.structures.get(step.node.name)
        if structure is None or not step.takes():
            step.drops = True
            return
        _send(step, step.pieces(structure), carried)
        if step.leaving:
            step.settle()

    def _part(
        self, part: Part, runs: PartRuns, carried: dict[str, Channels], values: Values
    ) -> None:
        """A part whose values are computed again."""
        if not part.rows:
            self.over(part.members, carried, runs.whole(part, values, self.ops.dtype))
            return
        r = self.arrivals.pass_on(part.output, carried.pop(part.output, None), values)
        for name, sent in self._by_rows(part, runs, r, values).items() if r else ():
            present = carried.get(name)
            both = zip(present or (), sent, strict=False)
            carried[name] = [self.ops.Add(a, b) for a, b in both] if present else sent
        values.release([part.output])
        if self.advance is not None:
            for _ in part.members:
                self.advance()

    def _by_rows(
        self, part: Part, runs: PartRuns, r: Channels, values: Values
    ) -> dict[str, Channels]:
        """What a part sends, some rows after the other."""
        arrivals = replace(self.arrivals, keep=(), conditions={})
        inner = replace(self, arrivals=arrivals, advance=None)
        sums: dict[str, Channels] = {}
        for block, own in runs.blocks(part, values, self.ops, self.sample_axes):
            carried = {part.output: [block.take(part.output, x) for x in r]}
            inner.over(part.members, carried, own)
            for name, sent in carried.items():
                if name not in sums:
                    shape = tuple(int(n) for n in values.shape(name))
                    sums[name] = [np.zeros(shape, self.ops.dtype) for _ in sent]
                for whole, x in zip(sums[name], sent, strict=True):
                    block.put(name, x, whole)
        return sums


@dataclass(frozen=True)
class _Arrivals:
    """What has arrived at a tensor from all of its readers: it is kept, and passed or cut.

    Attributes:
        conditions: by tensor which parts of it are passed.
        slopes: whether what travels at a tensor is its slope.
        worth: the relevance of a tensor where this is what travels.
    """

    keep: Collection[str]
    conditions: Mapping[str, Condition]
    slopes: Callable[[str], bool]
    worth: Callable[..., Channels]
    ops: Ops
    enter_cut: Callable[[str, Channels], None]
    kept: Walked = field(default_factory=Walked)

    @cached_property
    def watched(self) -> frozenset[str]:
        """Tensors at which there is anything to do."""
        return frozenset(self.keep) | self.conditions.keys()

    def pass_on(self, name: str, r: Channels | None, values: Values) -> Channels | None:
        """What goes on from a tensor; None where nothing arrived."""
        if r and name in self.conditions:
            r, cut = self.conditions[name].parted(r, self.ops)
            self.enter_cut(name, self.worth(name, cut, values=values))
        if r and name in self.keep:
            self.kept.carried[name] = r
            self.kept.relevance[name] = self.worth(name, r, values=values)
            if self.slopes(name):
                self.kept.slopes[name] = r
        return r


def _send(step: NodeStep, pieces: Mapping[int, Channels], carried: dict[str, Channels]) -> None:
    """Add what a node sends to what its inputs have, and book it."""
    books = step.ops.keeps_ledger
    for i, channels in pieces.items():
        name, alike = step.node.inputs[i], step.alike[i]
        if books:
            step.book_piece(i, channels)
        if not step.carrying[i]:
            continue
        if not alike:
            shape = step.shape(i)
            channels = [step.ops.unbroadcast(piece, shape) for piece in channels]
        if name in carried or step.relating:
            channels = step.joined(name, carried.get(name), channels)
        carried[name] = channels
