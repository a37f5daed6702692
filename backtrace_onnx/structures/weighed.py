"""Linear nodes whose terms are weighed by their weights, or in a box, not by contribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from backtrace_onnx.ops.sharing import Sharing
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Pieces, Step

Change: TypeAlias = Callable[[Value], Value]
"""What is made of the weights."""


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
    """Relevance of the inputs of a node whose terms are weighed by their weights, or in a box.

    With x the input and W the weights: "ones" has contributions of 1, "squares" of W^2, "box" of
    W x - W+ low - W- high, each in place of W x. Several inputs that are data have equal parts.
    """
    ops, how = step.ops, step.sharing
    readings = [k for k, i in enumerate(linear.factors) if step.carries(i)]
    steering = [step.condition(j) for j in linear.steering]
    factors, _ = linear.read_factors(step, steering)
    worth = ops.Mul(step.r[0], step.result())
    r = ops.Mul(worth, ops.scalar(1 / len(readings)))
    pieces: dict[int, list[Value]] = {}
    for k in readings:
        i = linear.factors[k]
        key = f"{step.node.name}/{how.weighed}/{how.bounds}/{k}"
        text = _sent(linear, how, k, len(factors))
        sent = ops.apply(key, text, r, step.shape(i), *factors, *steering)
        pieces[i] = [sent]
        if ops.keeps_ledger:
            whole = ops.total(r, step.sample_axis())
            arrived = ops.total(sent, step.sample_axis(step.node.inputs[i]))
            step.book("unassigned", 0, ops.Sub(whole, arrived))
    return pieces


def _sent(linear: LinearNode, how: Sharing, k: int, count: int) -> Callable[..., Value]:
    """Text `(ops, r, shape, *factors, *steering) -> ` what factor k is sent of r."""

    def text(e: Ops, r: Value, shape: Value, *xs: Value) -> Value:
        x, others, steering = xs[k], xs[:count], xs[count:]

        def laid(own: Value, change: Change) -> list[Value]:
            return [own if j == k else change(other) for j, other in enumerate(others)]

        ways = _ways(e, x, how)
        t = e.sum([linear.forward(e, *laid(own, change), *steering) for own, change in ways])
        q = e.ratio(r, t)
        return e.sum(
            [
                e.Mul(own, linear.adjoint(e, k, q, laid(None, change), shape, *steering))
                for own, change in ways
            ]
        )

    return text


def _ways(e: Ops, x: Value, how: Sharing) -> list[tuple[Value, Change]]:
    """What takes the place of x and W in each of the terms that add up to a unit."""

    def full(value: Value) -> Value:
        return e.Expand(value, e.Shape(x))

    if how.weighed == "box" and how.bounds is not None:
        low, high = (bound.astype(e.dtype) for bound in how.bounds.shaped())
        return [
            (x, e.Identity),
            (full(-low), e.Relu),
            (full(-high), lambda w: e.Neg(e.Relu(e.Neg(w)))),
        ]
    one = full(e.scalar(1))
    if how.weighed == "squares":
        return [(one, lambda w: e.Mul(w, w))]
    return [(one, lambda w: e.Expand(e.scalar(1), e.Shape(w)))]
