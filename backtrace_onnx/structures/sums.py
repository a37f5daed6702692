"""Sums of terms: what several inputs add up to, and a linear operator with a shift that is data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Ops, Term, Value, ints
from backtrace_onnx.structures.base import Channels, Pieces, PlannedNode, Reads, Step, Structure
from backtrace_onnx.structures.linear import Linear


@dataclass(frozen=True)
class Shifted(Structure):
    """y = linear + scale * input `shift`, where the shift is data and no bias.

    Relevance is shared as in a sum of two terms first; what the linear one got is then handed on by
    its own structure.

    Attributes:
        laid: shape in which the shift is broadcast against y; () as it is.
    """

    linear: Linear
    shift: int
    laid: tuple[int, ...] = ()
    scale: float = 1.0
    results: tuple[int, ...] = (0,)
    has_slopes: bool = True
    weighs: bool = True

    @property
    def affine(self) -> bool:  # type: ignore[override]
        return self.linear.affine

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return (*self.linear.values, self.shift)

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (*self.linear.shapes, self.shift)

    def propagate(self, step: Step) -> Pieces:
        ops, shift = step.ops, self._shift(step)
        product = ops.Sub(step.result(), shift)
        terms = [Term(1, product), Term(1, shift)]
        pieces, shared = ops.share_terms(step.policy, terms, None, step.r, step.sample_axis())
        for channel, lost in enumerate(shared.unassigned):
            step.book("unassigned", channel, lost)
        laid = ops.shape(shift)
        back = [ops.Reshape(ops.unbroadcast(r, laid), step.shape(self.shift)) for r in pieces[1]]
        return {**self.linear.propagate(cast(Step, _Handed(step, pieces[0]))), self.shift: back}

    def slopes(self, step: Step) -> Pieces:
        ops, laid = step.ops, step.ops.shape(self._shift(step))
        m = step.stabilised()
        handed = cast(Step, _Handed(step, [m]))
        shifted = ops.Mul(m, ops.scalar(self.scale))
        back = ops.Reshape(ops.unbroadcast(shifted, laid), step.shape(self.shift))
        return {**self.linear.slopes(handed), self.shift: [back]}

    def bends(self, step: PlannedNode) -> int:
        return self.linear.bends(step)

    def slope_reads(self, node: PlannedNode) -> Reads:
        inner = self.linear.slope_reads(node)
        return replace(inner, values=(*inner.values, self.shift), shapes=self.shapes)

    def leaves(self, step: PlannedNode) -> bool:
        return self.linear.leaves(step)

    def _shift(self, step: Step) -> Value:
        value = step.ops.Mul(step.weighed(self.shift), step.ops.scalar(self.scale))
        return step.ops.Reshape(value, ints(*self.laid)) if self.laid else value


class _Handed:
    """A step of the same node with other relevance; no activation follows it directly."""

    gate = None

    def __init__(self, step: Step, r: Channels, policy: Policy | None = None) -> None:
        self._step, self.r, self.policy = step, r, policy or step.policy

    def stabilised(self) -> Value:
        """The slope as it is: it was stabilised before it was handed on."""
        return self.r[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)


@dataclass(frozen=True)
class Terms(Structure):
    """y = a sum of signed terms; constants among them are its bias (Add, Sub, Sum, Mean).

    Attributes:
        scale: of the sum, which divides a mean.
    """

    signs: tuple[int, ...]
    scale: float = 1.0
    has_slopes: bool = True
    bounded: bool = True
    affine: bool = True
    conserves: bool = True

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(len(self.signs)))

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.values

    broadcasts = shapes

    def propagate(self, step: Step) -> Pieces:
        data = [i for i in self.values if step.carries(i)]
        others = [i for i in self.values if i not in data]
        fixed = [self._signed(step, i, len(others)) for i in others]
        bias = step.ops.sum(fixed) if fixed else None
        terms = [
            Term(self.signs[i], step.weighed(i), step.nonnegative(i), step.infinite(i))
            for i in data
        ]
        pieces, shared = step.ops.share_terms(step.policy, terms, bias, step.r, step.sample_axis())
        for channel in range(len(step.r)):
            step.book("constants", channel, shared.to_bias[channel])
            step.book("unassigned", channel, shared.unassigned[channel])
        return dict(zip(data, pieces, strict=True))

    def slopes(self, step: Step) -> Pieces:
        if step.sharing.policy is not None:
            return self._shared_slopes(step, step.sharing.policy)
        ops, m = step.ops, step.stabilised()
        m = ops.Mul(m, ops.scalar(self.scale)) if self.scale != 1 else m
        sides = {sign: m if sign > 0 else ops.Neg(m) for sign in self.signs}
        for i in self.values if ops.keeps_ledger else ():
            if not step.carries(i) and not step.method.differs:
                absorbed = ops.worth(self._finite(step, i), sides[self.signs[i]])
                step.book("constants", 0, ops.total(absorbed, step.sample_axis()))
        return {i: [sides[self.signs[i]]] for i in self.values if step.carries(i)}

    def slope_reads(self, node: PlannedNode) -> Reads:
        if node.sharing.policy is not None:
            return Reads(self.values, (0,), self.shapes)
        bias = () if node.method.differs else self.values
        absorbing = tuple(i for i in bias if not node.carries(i))
        return Reads(absorbing, (0,) if node.sharing.epsilon else (), self.shapes)

    def _shared_slopes(self, step: Step, policy: Policy) -> Pieces:
        """Slopes that share as a policy does: what a term would be sent, over the term."""
        ops, r = step.ops, [step.ops.Mul(step.r[0], step.result())]
        pieces = self.propagate(cast(Step, _Handed(step, r, policy)))

        key = f"{step.node.name}/over"
        return {
            i: [ops.apply(f"{key}{i}", Ops.ratio, piece, step.weighed(i))]
            for i, (piece,) in pieces.items()
        }

    def _finite(self, step: Step, i: int) -> Value:
        """A term; 0 where it is infinite, as masks are."""
        x, ops = step.weighed(i), step.ops
        return ops.Where(ops.IsInf(x), ops.zero(), x) if step.infinite(i) else x

    def masses(self, step: Step) -> tuple[Value, Value | None]:
        ops = step.ops
        signed = [
            step.weighed(i) if self.signs[i] > 0 else ops.Neg(step.weighed(i))
            for i in self.values
            if step.carries(i)
        ]
        p, n = (ops.sum([ops.Relu(side(x)) for x in signed]) for side in (ops.Identity, ops.Neg))
        return p, n

    def _signed(self, step: Step, i: int, count: int) -> Value:
        """One of `count` terms that are no data. Their sum is finite: an infinite one would leave
        its unit no share at all."""
        x = step.weighed(i)
        if step.infinite(i) or count > 1:
            most = float(np.finfo(step.ops.dtype).max) / count
            x = step.ops.Clip(x, step.ops.scalar(-most), step.ops.scalar(most))
        return x if self.signs[i] > 0 else step.ops.Neg(x)
