"""Scatter operators that combine what falls on one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels, Pieces, PlannedNode, Reads, Step, Structure

DATA, INDICES, UPDATES = range(3)


class Scatter(NamedTuple):
    """How the indices of a scatter operator address places of its data.

    Attributes:
        add: `(ops, data, indices, updates) -> ` data with the updates added in.
        read: `(ops, x, indices) -> ` what lies at the updates' places.
    """

    add: Callable[[Ops, Value, Value, Value], Value]
    read: Callable[[Ops, Value, Value], Value]


def elements(axis: int) -> Scatter:
    """Indices number the places along one axis (ScatterElements)."""
    return Scatter(
        lambda e, x, i, u: e.ScatterElements(x, i, u, axis=axis, reduction="add"),
        lambda e, x, i: e.GatherElements(x, i, axis=axis),
    )


def slices() -> Scatter:
    """Indices number whole slices, along the first axes (ScatterND)."""
    return Scatter(
        lambda e, x, i, u: e.ScatterND(x, i, u, reduction="add"),
        lambda e, x, i: e.GatherND(x, i),
    )


@dataclass(frozen=True)
class Combined(Structure):
    """Data and updates meet on places of the result and are combined there.

    With the reduction "add" they are the terms of a sum, shared as the policy says; a constant
    operand is its bias. With "max" and "min" those that equal the result take its relevance, ties
    equally. With "mul" all that carry relevance get equal parts.
    """

    reduction: str
    way: Scatter
    values: tuple[int, ...] = (DATA, INDICES, UPDATES)
    shapes: tuple[int, ...] = (DATA, UPDATES)

    @property
    def results(self) -> tuple[int, ...]:  # type: ignore[override]
        return (0,) if self.reduction in ("max", "min") else ()

    @property
    def has_slopes(self) -> bool:  # type: ignore[override]
        return self.reduction != "mul"

    def slopes(self, step: Step) -> Pieces:
        if self.reduction != "add":
            return self.propagate(step)
        return {i: [self._at(step, i, step.r[0])] for i in (DATA, UPDATES) if step.carries(i)}

    def slope_reads(self, node: PlannedNode) -> Reads:
        if self.reduction != "add":
            return Reads(self.values, self.results, self.shapes)
        return Reads((INDICES,) if node.carries(UPDATES) else ())

    def propagate(self, step: Step) -> Pieces:
        if self.reduction == "add":
            return self._terms(step)
        wins = self._factors(step) if self.reduction == "mul" else self._winners(step)
        count = step.ops.Max(self._laid(step, wins), step.ops.scalar(1))
        shares = [step.ops.Div(r, count) for r in step.r]
        return {
            i: [step.ops.Mul(win, self._at(step, i, share)) for share in shares]
            for i, win in wins.items()
        }

    def _terms(self, step: Step) -> Pieces:
        ops, policy = step.ops, step.policy
        data = [i for i in (UPDATES, DATA) if step.carries(i)]
        parts = {i: ops.parts(step.weighed(i), policy.reading, step.nonnegative(i)) for i in data}
        negative = {i: part[-1] for i, part in parts.items() if -1 in part}
        fixed = {i: step.weighed(i) for i in (DATA, UPDATES) if i not in data}
        p = self._laid(step, {i: part[1] for i, part in parts.items()})
        n = self._laid(step, negative) if negative else None
        bias = self._laid(step, fixed) if fixed else None
        shared = ops.share(policy, p, n, bias, step.r, None, step.sample_axis())
        pieces: dict[int, Channels] = {i: [] for i in data}
        for channel, coefficients in enumerate(shared.coefficients):
            step.book("constants", channel, shared.to_bias[channel])
            step.book("unassigned", channel, shared.unassigned[channel])
            signed = {s: a for s, a in zip((1, -1), coefficients, strict=True) if a is not None}
            for i in data:  # data last: it may be weighed in the memory of the coefficients
                here = {sign: self._at(step, i, a) for sign, a in signed.items()}
                known = step.nonnegative(i)
                pieces[i].append(ops.weigh(step.weighed(i), here, policy.reading, known))
        return pieces

    def _winners(self, step: Step) -> dict[int, Value]:
        """1 where an operand equals the result."""
        ops, best = step.ops, step.result()
        return {
            i: ops.Cast(ops.Equal(step.condition(i), self._at(step, i, best)), to=ops.float_type)
            for i in (DATA, UPDATES)
        }

    def _factors(self, step: Step) -> dict[int, Value]:
        """1 where an operand takes a part: where it carries, and where data meet no update."""
        ops = step.ops
        ones = {
            i: ops.Expand(ops.scalar(float(step.carries(i))), step.shape(i))
            for i in (DATA, UPDATES)
        }
        alone = ops.Equal(self._laid(step, ones), ops.zero())
        return {**ones, DATA: ops.Where(alone, ops.scalar(1), ones[DATA])}

    def _laid(self, step: Step, operands: Mapping[int, Value]) -> Value:
        """The sum, on every place of the result, of the operands given; others count as zeros."""
        data, updates = (
            operands[i] if i in operands else step.ops.Expand(step.ops.zero(), step.shape(i))
            for i in (DATA, UPDATES)
        )
        return self.way.add(step.ops, data, step.condition(INDICES), updates)

    def _at(self, step: Step, i: int, x: Value) -> Value:
        """`x`, shaped like the result, at the places of operand `i`."""
        return x if i == DATA else self.way.read(step.ops, x, step.condition(INDICES))
