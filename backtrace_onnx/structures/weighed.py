"""Linear nodes whose terms are weighed by their weights, or in a box, not by contribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Pieces, Step


class LinearNode(Protocol):
    """What is asked of a linear node (`structures.linear.Linear`)."""

    @property
    def factors(self) -> tuple[int, ...]:
        """Indices of the inputs that are multiplied."""

    @property
    def steering(self) -> tuple[int, ...]:
        """Indices of inputs that say how."""

    @property
    def forward(self) -> Callable[..., Value]:
        """The operator without its bias."""

    @property
    def adjoint(self) -> Callable[..., Value]:
        """Its adjoint in one factor."""

    def read_factors(self, step: Step, steering: Any) -> tuple[list[Value], list[bool]]:
        """Values of the factors."""


def weighed_anew(linear: LinearNode, step: Step) -> Pieces:
    """Relevance of the input of a node whose terms are weighed by their weights, or in a box.

    With x the input and W the weights: "ones" has contributions of 1, "squares" of W^2, "box" of
    W x - W+ low - W- high, each in place of W x.
    """
    ops, how = step.ops, step.sharing
    (i,) = [i for i in linear.factors if step.carries(i)][:1]
    k = linear.factors.index(i)
    steering = [step.value(j) for j in linear.steering]
    factors, _ = linear.read_factors(step, steering)

    def text(e: Ops, r: Value, shape: Value, *xs: Value) -> Value:
        x, others, steer = xs[k], xs[: len(factors)], xs[len(factors) :]

        def laid(own: Value, change: Callable[[Value], Value]) -> list[Value]:
            return [own if j == k else change(other) for j, other in enumerate(others)]

        def full(value: float) -> Value:
            return e.Expand(e.scalar(value), e.Shape(x))

        ways: list[tuple[Value, Callable[[Value], Value]]]
        if how.weighed == "box":
            ways = [
                (x, e.Identity),
                (full(-how.low), lambda w: e.Relu(w)),
                (full(-how.high), lambda w: e.Neg(e.Relu(e.Neg(w)))),
            ]
        elif how.weighed == "squares":
            ways = [(full(1), lambda w: e.Mul(w, w))]
        else:
            ways = [(full(1), lambda w: e.Expand(e.scalar(1), e.Shape(w)))]
        t = e.sum([linear.forward(e, *laid(own, change), *steer) for own, change in ways])
        none = e.Less(e.Abs(t), e.scalar(SMALLEST_MASS))
        q = e.Where(none, e.zero(), e.Div(r, e.Where(none, e.scalar(1), t)))
        sent = [
            e.Mul(own, linear.adjoint(e, k, q, laid(None, change), shape, *steer))
            for own, change in ways
        ]
        return e.sum(sent)

    r = ops.Mul(step.r[0], step.result())
    key = f"{step.node.name}/{how.weighed}/{how.low}/{how.high}"
    sent = ops.apply(key, text, r, step.shape(i), *factors, *steering)
    if ops.keeps_ledger:
        lost = ops.Sub(
            ops.total(r, step.sample_axis()), ops.total(sent, step.sample_axis(step.node.inputs[i]))
        )
        step.book("unassigned", 0, lost)
    return {i: [sent]}
