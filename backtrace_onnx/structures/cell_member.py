"""The nodes of a recurrent cell's step, as their structures see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels, Step
from backtrace_onnx.structures.equations import WEIGHTS, Equation, Equations
from backtrace_onnx.structures.inner_step import InnerStep

REFERENCE, KEPT = "@reference", "@kept"
"""Marks a tensor's value in the run of a reference; what a stabiliser leaves of its slope."""


@dataclass(frozen=True)
class View:
    """What the nodes of a step see, or of all steps at once.

    Attributes:
        values: of all tensors, by name.
        carriers: tensors that take relevance, or slopes.
        name: first part of the names of texts.
        axis: along which samples lie.
        outer: the step of the whole node, which keeps the books; None: nobody does.
        sharing: the rule of the whole node: it holds for the input's product with its weights, and
            but for what weighs anew, for the state's.
    """

    ops: Ops
    equations: Equations
    method: Method
    values: Mapping[str, Value]
    carriers: frozenset[str]
    name: str = ""
    axis: int | None = None
    outer: Step | None = None
    sharing: Sharing = PLAIN


def rule_within(method: Method, sharing: Sharing, member: Equation) -> Sharing:
    """How a node of a step shares where slopes travel, the whole node having this rule."""
    if member.mixes and ("x" in member.node.inputs or sharing.weighed == "contributions"):
        return sharing
    return Sharing(epsilon=method.epsilon)


class MemberStep(InnerStep):
    """A node of a cell's step, as its structure sees it."""

    def __init__(
        self,
        view: View,
        member: Equation,
        outgoing: Sequence[Channels | None],
        gate: Gate | None = None,
    ) -> None:
        node: Node = replace(member.node, name=f"{view.name}{member.node.name}")
        super().__init__(node, view.ops, view.method, outgoing, gate)
        self._view, self.sharing = view, rule_within(view.method, view.sharing, member)
        self._between = False
        self._between = self.method.compares and member.structure.bends(cast(Step, self)) > 0

    def weighed(self, i: int) -> Value:
        x = self.tensor(self.node.inputs[i])
        return self.ops.Sub(x, self.before(i)) if self.method.compares else x

    def condition(self, i: int) -> Value:
        """Half way from the reference, where that is the mean slope of a product."""
        x = self.tensor(self.node.inputs[i])
        if not self._between or not self.carries(i):
            return x
        return self.ops.Mul(self.ops.Add(x, self.before(i)), self.ops.scalar(0.5))

    def tensor(self, name: str) -> Value:
        number = self._view.equations.numbers.get(name)
        return self._view.values[name] if number is None else self.ops.scalar(number)

    def before(self, i: int) -> Value:
        name = self.node.inputs[i]
        return self._view.values.get(name + REFERENCE, self._view.values.get(name))

    def result_before(self) -> Value:
        return self._view.values[self.node.outputs[0] + REFERENCE]

    def shape(self, i: int) -> Value:
        return self.ops.shape(self.tensor(self.node.inputs[i]))

    def carries(self, i: int) -> bool:
        return self.node.inputs[i] in self._view.carriers

    def sample_axis(self, tensor: str | None = None) -> int | None:
        return None if tensor in WEIGHTS else self._view.axis

    def stabilised(self) -> Value:
        kept = self._view.values.get(self.node.outputs[0] + KEPT)
        (m,) = self.r
        if kept is None:
            return m
        made = self.ops.Mul(m, kept)
        if self._view.outer is not None:
            lost = self.ops.Mul(self.result(), self.ops.Sub(m, made))
            self.book("unassigned", 0, self.ops.total(lost, self._view.axis))
        return made

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        if self._view.outer is not None:
            self._view.outer.book(kind, channel, total)
