"""Operators that are linear in an input, and sums of terms: where policies decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.ops.policy import Policy, Reading
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.structures.base import CURVED, Pieces, PlannedNode, Reads, Step, Structure
from backtrace_onnx.structures.signed_parts import adjoint_of_parts, signed_masses, slope_on_side
from backtrace_onnx.structures.weighed import weighed_anew


@dataclass(frozen=True, kw_only=True)
class Linear(Structure):
    """y = forward(factors) + bias, linear in every factor.

    With x the factor that is read as input and W all others, a unit's contributions are products of
    entries of x and W. Its masses are p = `forward` of the parts x+ W+ and x- W-, n = `forward` of
    x+ W- and x- W+, where x+ and x- are magnitudes: exact where a difference would cancel. A policy
    makes coefficients aP and aN of them, and x is sent, with `adjoint` written F',

        x+ (F'(aP, W+) + F'(aN, W-)) + x- (F'(aP, W-) + F'(aN, W+))

    A policy that reads p + n or p - n alone needs one `forward` and one `adjoint`. Several factors
    that carry relevance are read as input one after another, each with an equal part of it.

    Attributes:
        forward: `(ops, *factors) -> y` without the bias, in ONNX's words.
        adjoint: `(ops, k, g, factors, shape) -> `: the adjoint of `forward` in factor k, applied to
            g, which is shaped like y; `factors[k]` is None, `shape` is that factor's shape.
        factors: indices of the inputs that are multiplied.
        bias: what absorbs its share, broadcast against y; a constant, mostly.
        inner: `(ops, x, *steering) -> `: applied to factor 0 first, elementwise (x**2 of a sum of
            squares, say).
        weights: `(step) -> ` further factors that are no inputs (a resize's matrices).
        positive: whether `weights` are known to have no negative entry.
        steering: indices of inputs that `forward` and `adjoint` get after all else, as they are.
        reads: indices of inputs whose values `weights` asks the step for.
        chain: of an operator that is a function of the sum of `inner`: `(ops, x, y, m, back) -> `
            the slope of x, where `back` is the adjoint.
        degree: the operator's value grows with this power of x.
    """

    forward: Callable[..., Value]
    adjoint: Callable[..., Value]
    factors: tuple[int, ...] = (0, 1)
    bias: npt.NDArray[Any] | Value | None = None
    inner: Callable[..., Value] | None = None
    weights: Callable[[Step], tuple[Value, ...]] | None = None
    positive: bool = False
    steering: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    raises: bool = True
    chain: Callable[..., Value] | None = None
    degree: int | None = 1
    held: tuple[int, ...] = ()
    has_slopes: bool = True
    weighs: bool = True

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.factors + self.steering + self.reads

    @property
    def bounded(self) -> bool:  # type: ignore[override]
        return self.chain is None and self.inner is None

    @property
    def affine(self) -> bool:  # type: ignore[override]
        return self.chain is None and self.inner is None and self.degree == 1

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.factors

    def propagate(self, step: Step) -> Pieces:
        ops: Ops = step.ops
        # A gate shuts one side of the contributions, so that both sides must be known apart.
        reading: Reading = "split" if step.gate else step.policy.reading
        readings = self._readings(step)
        steering = [step.condition(i) for i in self.steering]
        factors, known = self.read_factors(step, steering)
        key = f"{step.node.name}/{reading}"
        p, n = self._masses(step, reading, factors, known, steering)
        r = step.r
        if len(readings) > 1:
            r = [ops.Mul(x, ops.scalar(1 / len(readings))) for x in r]
        shared = ops.share(step.policy, p, n, self._bias(ops), r, step.gate, step.sample_axis())
        for channel in range(len(r)):
            for _ in readings:  # each has its own part of r, and loses as much of it
                step.book("constants", channel, shared.to_bias[channel])
                step.book("unassigned", channel, shared.unassigned[channel])
        sent: Pieces = {self.factors[k]: [] for k in readings}
        for k in readings:
            for pair in shared.coefficients:
                pulled = self._pulled(step, k, pair, factors, known, reading, key)
                weighed = ops.weigh(factors[k], pulled, reading, known[k])
                sent[self.factors[k]].append(weighed)
        return sent

    def slopes(self, step: Step) -> Pieces:
        if step.sharing.weighed != "contributions":
            return weighed_anew(self, step)
        if step.sharing.policy is not None:
            return self._shared_slopes(step, step.sharing.policy)
        ops, shared = step.ops, step.method.products == "shared"
        readings = self._readings(step)
        steering = [step.condition(i) for i in self.steering]
        factors = self._multipliers(step, readings, steering)
        m = step.stabilised()
        if self.bias is not None and ops.keeps_ledger:
            absorbed = ops.worth(self._bias(ops), m)
            step.book("constants", 0, ops.total(absorbed, step.sample_axis()))
        part = 1 / len(readings) if shared else 1.0
        if shared and self.degree:
            part /= self.degree
        m = ops.Mul(m, ops.scalar(part)) if part != 1 else m
        return {self.factors[k]: [self._slope(step, k, m, factors, steering)] for k in readings}

    def slope_reads(self, node: PlannedNode) -> Reads:
        if node.sharing.weighed != "contributions" or node.sharing.policy is not None:
            return Reads(self.values, (0,), self.shapes)
        readings = self._readings(node)
        chained = self.chain is not None and 0 in readings
        asked = tuple(
            i
            for k, i in enumerate(self.factors)
            if (chained and k == 0) or _multiplies(k, readings)
        )
        results = (0,) if chained or node.sharing.epsilon else ()
        return Reads(asked + self.steering + self.reads, results, self.shapes)

    def _shared_slopes(self, step: Step, policy: Policy) -> Pieces:
        """Slopes that share as a policy does: where PULL = x+ A + x- B they are A and -B."""
        ops = step.ops
        readings = self._readings(step)
        steering = [step.condition(i) for i in self.steering]
        factors, known = self.read_factors(step, steering)
        p, n = self._masses(step, policy.reading, factors, known, steering)
        r = ops.Mul(step.r[0], ops.scalar(1 / len(readings)))
        r = ops.Mul(r, step.result())
        shared = ops.share(policy, p, n, self._bias(ops), [r], None, step.sample_axis())
        for _ in readings:
            step.book("constants", 0, shared.to_bias[0])
            step.book("unassigned", 0, shared.unassigned[0])
        key = f"{step.node.name}/{policy.reading}"
        how = (shared.coefficients[0], factors, known, policy.reading, key)
        pulled = {k: self._pulled(step, k, *how) for k in readings}
        return {self.factors[k]: [slope_on_side(ops, factors[k], x)] for k, x in pulled.items()}

    def bends(self, step: PlannedNode) -> int:
        if self.chain is not None:
            return CURVED
        return max(len(self._readings(step)) - 1, 0)

    def leaves(self, step: PlannedNode) -> bool:
        several = len(self._readings(step)) > 1
        return self.degree is None or (
            step.method.products == "whole" and (several or self.degree > 1)
        )

    def _readings(self, node: PlannedNode) -> list[int]:
        """Which factors are read as input."""
        return node.once(
            ("readings", self.factors),
            lambda: [k for k, i in enumerate(self.factors) if node.carries(i)],
        )

    def _multipliers(
        self, step: Step, readings: Sequence[int], steering: Sequence[Value]
    ) -> list[Value | None]:
        """What the factors that are read are multiplied by; None for one that multiplies none."""
        factors: list[Value | None] = [
            step.condition(i) if _multiplies(k, readings) else None
            for k, i in enumerate(self.factors)
        ]
        if self.inner is not None and factors[0] is not None:
            factors[0] = self._inner(step, self.inner, factors[0], steering)
        return [*factors, *(self.weights(step) if self.weights else ())]

    def _slope(
        self,
        step: Step,
        k: int,
        m: Value,
        factors: Sequence[Value | None],
        steering: Sequence[Value],
    ) -> Value:
        """The adjoint in factor k, whole."""
        shape, key = step.shape(self.factors[k]), f"{step.node.name}/slope{k}"
        chain = self.chain if k == 0 else None  # `inner` is of factor 0
        others = [None if j == k else x for j, x in enumerate(factors)]

        def adjoint(e: Ops, m: Value, shape: Value, *xs: Value) -> Value:
            return self.adjoint(e, k, m, xs[: len(factors)], shape, *xs[len(factors) :])

        if chain is None:
            return step.ops.apply(key, adjoint, m, shape, *others, *steering)

        def chained(e: Ops, m: Value, shape: Value, x: Value, y: Value, *xs: Value) -> Value:
            return chain(e, x, y, m, lambda g: adjoint(e, g, shape, *xs))

        x, y = step.condition(self.factors[k]), step.result()
        return step.ops.apply(key, chained, m, shape, x, y, *others, *steering)

    def masses(self, step: Step) -> tuple[Value, Value | None]:
        steering = [step.condition(i) for i in self.steering]
        return self._masses(step, "split", *self.read_factors(step, steering), steering)

    def raised(self, ops: Ops, constant: Value) -> Linear:
        bias = constant if self.bias is None else ops.Add(self._bias(ops), constant)
        return replace(self, bias=bias)

    def _bias(self, ops: Ops) -> Value:
        bias = self.bias
        return bias.astype(ops.dtype, copy=False) if isinstance(bias, np.ndarray) else bias

    def _masses(
        self,
        step: Step,
        reading: Reading,
        factors: Sequence[Value],
        known: Sequence[bool],
        steering: Sequence[Value],
    ) -> tuple[Value, Value | None]:
        """The masses that a policy reads."""

        def text(e: Ops, *xs: Value) -> Value:
            parts = [e.parts(x, reading, k) for x, k in zip(xs, known, strict=False)]
            return signed_masses(e, parts, self.forward, xs[len(known) :])

        key = f"{step.node.name}/{reading}/masses"
        made = step.ops.apply(key, text, *factors, *steering)
        return made if isinstance(made, tuple) else (made, None)

    def read_factors(self, step: Step, steering: Sequence[Value]) -> tuple[list[Value], list[bool]]:
        """Values of the factors, and which of them have no negative entry."""
        factors = [step.weighed(i) if step.carries(i) else step.condition(i) for i in self.factors]
        known = list(
            step.once(
                ("nonnegative", self.factors), lambda: [step.nonnegative(i) for i in self.factors]
            )
        )
        if self.inner is not None:
            factors[0] = self._inner(step, self.inner, factors[0], steering)
            known[0] = False
        extra = self.weights(step) if self.weights else ()
        return [*factors, *extra], known + [self.positive or _is_nonnegative(w) for w in extra]

    def _inner(
        self, step: Step, inner: Callable[..., Value], x: Value, steering: Sequence[Value]
    ) -> Value:
        return step.ops.apply(f"{step.node.name}/inner", inner, x, *steering)

    def _pulled(
        self,
        step: Step,
        k: int,
        coefficients: tuple[Value, Value | None],
        factors: Sequence[Value],
        known: Sequence[bool],
        reading: Reading,
        key: str,
    ) -> dict[int, Value]:
        """By sign of factor k's parts: the adjoint of the coefficients that weigh them."""
        a_p, a_n = coefficients
        signs = (1,) if reading != "split" or known[k] else (1, -1)
        shape = step.shape(self.factors[k])

        text = adjoint_of_parts(self.adjoint, k, signs, known, reading)
        others = [None if j == k else f for j, f in enumerate(factors)]
        others += [step.condition(i) for i in self.steering]
        made = step.ops.apply(f"{key}/pull{k}", text, a_p, a_n, shape, *others)
        return dict(zip(signs, made if isinstance(made, tuple) else (made,), strict=True))


def _multiplies(k: int, readings: Sequence[int]) -> bool:
    """Whether factor k is multiplied with another one that is read as input."""
    return bool(readings) and [*readings] != [k]


def _is_nonnegative(weight: Value) -> bool:
    array = weight.array if isinstance(weight, Constant) else weight
    return isinstance(array, np.ndarray) and bool((array >= 0).all())
