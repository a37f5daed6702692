"""The vocabulary rules are written in: every ONNX operator, and a few named passes.

`ops.Conv(x, w, pads=[1, 1, 1, 1])` computes in the eager backend and appends a node in the emit
backend. The named passes are defined here in ONNX's words; the eager backend replaces them by
kernels that read memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.winner_words import WinnerWords
from backtrace_onnx.ops.words import Constant, Value, Words, ints

if TYPE_CHECKING:
    from backtrace_onnx.ops.policy import Policy, Reading


class Term(NamedTuple):
    """One term of a sum.

    Attributes:
        sign: +1 or -1.
        x: its value, broadcast against the others.
        nonnegative: whether x is known to have no negative entry.
        infinite: whether x may hold infinities (a mask); those are sent nothing.
    """

    sign: int
    x: Value
    nonnegative: bool = False
    infinite: bool = False


class Shared(NamedTuple):
    """What a policy made of the units' relevance, one entry per channel.

    Attributes:
        coefficients: (aP, aN); aN is None where the policy reads no separate negative mass.
        to_bias, unassigned: totals per sample, None where no ledger is kept.
    """

    coefficients: list[tuple[Value, Value | None]]
    to_bias: list[Value | None]
    unassigned: list[Value | None]


class Ops(WinnerWords):
    """Base of both backends: ONNX's words, and the named passes in these words.

    Subclasses define `op`, `apply`, `total` and `shape`, and may have kernels for passes.
    """

    def share(
        self,
        policy: Policy,
        p: Value,
        n: Value | None,
        b: Value | None,
        r: list[Value],
        gate: Gate | None,
        sample_axis: int | None,
    ) -> Shared:
        """Share the relevance of units as the policy says.

        Args:
            p, n: their masses; n is None where none has a negative one, or the policy does not read
                it.
            b: their bias, broadcast to them; None: they have none.
            r: their relevance, by channel.
            gate: saturation gate of the activation that follows, if it counts.
            sample_axis: axis of the units along which samples lie, for the totals.
        """
        raise NotImplementedError

    def share_terms(
        self,
        policy: Policy,
        terms: Sequence[Term],
        b: Value | None,
        r: list[Value],
        sample_axis: int | None,
    ) -> tuple[list[list[Value]], Shared]:
        """Share the relevance of units that are sums of terms and a bias, as the policy says.

        Returns what each term is sent, by term and channel, shaped like r, and the totals.
        """
        signed = [t if t.sign > 0 else Term(1, self.Neg(t.x), False, t.infinite) for t in terms]
        masses: dict[int, list[Value]] = {1: [], -1: []}
        for term in signed:
            for sign, part in self.parts(term.x, policy.reading, term.nonnegative).items():
                masses[sign].append(part)
        n = self.sum(masses[-1]) if masses[-1] else None
        p = self.sum(masses[1]) if masses[1] else self.Mul(n, self.scalar(0))
        shared = self.share(policy, p, n, b, r, None, sample_axis)
        pieces = [
            [
                self._finite(t, self.weigh(t.x, {1: a_p, -1: a_n}, policy.reading, t.nonnegative))
                for a_p, a_n in shared.coefficients
            ]
            for t in signed
        ]
        return pieces, shared

    def _finite(self, term: Term, piece: Value) -> Value:
        # An infinite mass makes coefficients of 0, and infinity times 0 is NaN.
        return self.Where(self.IsInf(term.x), self.zero(), piece) if term.infinite else piece

    def parts(self, x: Value, reading: Reading, nonnegative: bool) -> dict[int, Value]:
        """Sign -> magnitude: {+1: |x|}, {+1: x}, or {+1: x+, -1: x-} as `reading` asks."""
        if reading == "signed" or nonnegative:
            return {1: x}
        if reading == "absolute":
            return {1: self.Abs(x)}
        return {1: self.Relu(x), -1: self.Relu(self.Neg(x))}

    def weigh(self, x: Value, pulled: dict[int, Value], reading: Reading, nonneg: bool) -> Value:
        """Sum over signs of part(x) * pulled[sign]: what reaches x."""
        parts = self.parts(x, reading, nonneg)
        return self.sum([self.Mul(part, pulled[sign]) for sign, part in parts.items()])

    def sum(self, terms: Sequence[Value]) -> Value:
        """Sum of one or more tensors."""
        total = terms[0]
        for term in terms[1:]:
            total = self.Add(total, term)
        return total

    def unbroadcast(self, r: Value, shape: Value) -> Value:
        """Sum `r` over the axes along which a tensor of `shape` was broadcast."""
        full = self.shape(r)
        missing = self.Sub(self.shape(full), self.shape(shape))
        aligned = self.Concat(self.Expand(ints(1), missing), shape, axis=0)
        copied = self.Squeeze(self.NonZero(self.Not(self.Equal(aligned, full))), ints(0))
        summed = self.ReduceSum(r, copied, keepdims=1, noop_with_empty_axes=1)
        return self.Reshape(summed, shape)

    def split(self, x: Value, sizes: Sequence[Value], axis: int) -> tuple[Value, ...]:
        """Parts of `x` along `axis`; every size is int64[1]."""
        if len(sizes) == 1:
            return (x,)
        parts: tuple[Value, ...] = self.Split(
            x, self.Concat(*sizes, axis=0), axis=axis, outputs=len(sizes)
        )
        return parts

    def walk_cell(
        self, key: str, steps: Callable[..., Any], groups: Sequence[Sequence[Value]]
    ) -> tuple[Value, ...]:
        """All steps of a recurrent cell, from the last to the first: `steps(ops, *arguments)`.

        `steps` is a text (`structures.cell_steps.CellSteps`), `groups` are its arguments, by what
        they are; the eager backend makes a loop of it where that is faster.
        """
        made: tuple[Value, ...] = self.apply(key, steps, *(x for group in groups for x in group))
        return made

    def recur(self, f: Value, a: Value, start: Value | None) -> Value:
        """c[t - 1] for every t of c[t] = f[t] * c[t - 1] + a[t]; stacked, c[-1] = start or 0."""

        def text(e: Ops, carried: Sequence[Value], f: Value, a: Value) -> Any:
            return [e.Add(e.Mul(f, carried[0]), a)], [carried[0]]

        if start is None:
            start = self.Expand(self.zero(), self.Shape(a, start=1))
        return self.scan(text, [start], [f, a])[1][0]

    def turn(self, x: Value, lengths: Value | None) -> Value:
        """x[steps, batch, ...] with the steps in reverse; of every sequence the first `lengths`."""
        if lengths is not None:
            return self.ReverseSequence(x, lengths, time_axis=0, batch_axis=1)
        first = np.iinfo(np.int64).min
        return self.Slice(x, ints(-1), ints(first), ints(0), ints(-1))

    def place(self, x: Value, shape: Value, first: Value, axes: Value) -> Value:
        """Zeros of `shape` with `x` put in, from `first` on along `axes`."""
        end = self.Add(first, self.Gather(self.shape(x), axes))
        after = self.Sub(self.Gather(shape, axes), end)
        none = self.Mul(shape, np.int64(0))
        # Pads of every axis: onnxruntime moves a Transpose across a Pad with `axes` wrongly.
        pads = [self.ScatterElements(none, axes, n, axis=0) for n in (first, after)]
        return self.Pad(x, self.Concat(*pads, axis=0), self.zero())

    def damp(
        self,
        t: Value,
        m: Value,
        epsilon: float,
        sample_axis: int | None,
        known: Sequence[int | str | None],
        squares: Value | None = None,
    ) -> tuple[Value, Value | None]:
        """Slopes m of units t, damped where these are next to 0 (`statistics.damped`).

        Also returns the total per sample of what t is worth less. `known`: the shape of t as far
        as it is known. `squares`: of all units, if t is only some of them.
        """
        raise NotImplementedError

    def squares(self, t: Value, sample_axis: int | None) -> Value:
        """Sums of squares of units t, and how many there are, float64[2, samples]; eager only."""
        raise NotImplementedError

    def ones(self, shape: Value) -> Value:
        """1 everywhere, to be read only."""
        return self.Expand(self.scalar(1), shape)

    def in_blocks(self, x: Value, known: Sequence[int | str | None]) -> Value:
        """x, whose shape is `known` as far as it can be, for convolutions and sums with what they
        make: where a file is written, in the layout of onnxruntime's convolutions."""
        return x

    def ids(self, shape: Value, start: Value) -> Value:
        """Numbers start, start + 1, ... laid out in `shape`, int64."""
        stop = self.Add(start, self.ReduceProd(shape, keepdims=0))
        return self.Reshape(self.Range(start, stop, np.int64(1)), shape)

    def scatter_add(
        self, r: Value, index: Value, size: Value, sample_axis: int | None
    ) -> tuple[Value, Value | None]:
        """Flat float[size] with r added at `index` (same shape); negative indices are dropped.

        Also returns the total per sample of what was dropped.
        """
        lost = self.Less(index, np.int64(0))
        kept = self.Where(lost, self.zero(), r)
        flat = self.ScatterElements(
            self.Expand(self.zero(), self.Reshape(size, ints(1))),
            self.Reshape(self.Max(index, np.int64(0)), ints(-1)),
            self.Reshape(kept, ints(-1)),
            axis=0,
            reduction="add",
        )
        return flat, self.total(self.Sub(r, kept), sample_axis) if self.keeps_ledger else None


__all__ = ["Constant", "Ops", "Shared", "Term", "Value", "Words", "ints"]
