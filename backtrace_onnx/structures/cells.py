"""Recurrent cells: what one step computes, and how relevance leaves it.

The texts follow the equations of the ONNX specification, written out in ONNX operators: one Gemm
for the input, one for the state, each with its own bias; Add, Mul and activations. The same text
stands for one step [batch, hidden] and for all of them [steps, batch, hidden].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Constant, Ops, Term, Value, ints
from backtrace_onnx.structures.activations import Activation
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.equations import Equations, Writer
from backtrace_onnx.structures.linear import signed_masses
from backtrace_onnx.structures.products import product

Values = Mapping[str, Value]
"""Values of the forward run by name, each one step's or stacked."""

Fixed = frozenset[str]
"""What takes no relevance before a step: the states "h" and "c", the "product" with h; "joined"
where that product is part of the input product's bias."""

NONE_FIXED: Fixed = frozenset()


class Sent(NamedTuple):
    """Relevance that a step sends.

    Attributes:
        x: to the input's product, all gates side by side.
        state: to the product with the state before, all gates side by side; None: none.
        h, c: to the states before on other ways; None: none.
        inner: to a second product with the state (GRU); None: there is none.
        peephole: to the peephole weights of i, o, f side by side; None: none.
    """

    x: Channels
    state: Channels | None
    h: Channels | None = None
    c: Channels | None = None
    inner: Channels | None = None
    peephole: Channels | None = None


@dataclass(frozen=True)
class CellSharing:
    """How relevance is handed on inside of a cell: sums share by the policy, products in halves.

    It works on relevance of one step [batch, width] and of all of them [steps, batch, width].

    Attributes:
        book: `(shared) -> `: enters what constants absorbed; None inside a Scan, where no books are
            kept.
    """

    ops: Ops
    policy: Policy
    sample_axis: int | None = None
    book: Callable[[Sequence[Value | None]], None] | None = None

    def terms(self, r: Channels, *xs: Value, bias: Value | None = None) -> list[Channels]:
        """Relevance of a sum of terms, by term."""
        terms = [Term(1, x) for x in xs]
        pieces, shared = self.ops.share_terms(self.policy, terms, bias, r, self.sample_axis)
        if self.book:
            self.book(shared.to_bias)
        return pieces

    def half(self, r: Channels) -> Channels:
        """The share of one of a product's two factors."""
        return [self.ops.Mul(x, self.ops.scalar(0.5)) for x in r]

    def plus(self, a: Channels, *others: Channels | None) -> Channels:
        """The sum of relevance, by channel; None counts as 0."""
        for b in others:
            if b is not None:
                a = [self.ops.Add(x, y) for x, y in zip(a, b, strict=True)]
        return a

    def beside(self, *parts: Channels) -> Channels:
        """Relevance of several gates, laid side by side along the last axis."""
        if len(parts) == 1:
            return parts[0]
        return [self.ops.Concat(*gates, axis=-1) for gates in zip(*parts, strict=True)]

    def products(
        self, r: Channels, v: Values, fixed: Fixed, *more: Value, bias: Value | None = None
    ) -> tuple[Channels, Channels | None, *tuple[Channels, ...]]:
        """Relevance of the gates' two products, with the input and with the state before, and of
        `more` terms of the same sum; a constant term is its bias."""
        x, state = v["x"], v["state"]
        if "joined" in fixed:
            to_x, *rest = self.terms(r, self.ops.Add(x, state), *more) if more else [r]
            return to_x, None, *rest
        if "product" in fixed:
            bias = state if bias is None else self.ops.Add(state, bias)
            to_x, *rest = self.terms(r, x, *more, bias=bias)
            return to_x, None, *rest
        to_x, to_state, *rest = self.terms(r, x, state, *more, bias=bias)
        return to_x, to_state, *rest

    def pull(self, key: str, r: Channels, state: State) -> Channels:
        """What a state is sent of the relevance r of its product with the weight."""
        ops, reading = self.ops, self.policy.reading
        bias = state.bias
        if bias is not None and not isinstance(bias, Constant):
            bias, r = None, self.terms(r, ops.Sub(state.z, bias), bias)[0]
        if state.halved:
            r = self.half(r)
        shared = ops.share(self.policy, state.p, state.n, bias, r, None, self.sample_axis)

        def text(e: Ops, a_p: Value, a_n: Value | None, weight: Value) -> Value:
            parts = e.parts(weight, reading, False)
            if reading != "split":
                return e.MatMul(a_p, parts[1])
            return tuple(
                e.Add(e.MatMul(a, parts[1]), e.MatMul(b, parts[-1]))
                for a, b in ((a_p, a_n), (a_n, a_p))
            )

        sent = []
        for a_p, a_n in shared.coefficients:
            made = ops.apply(f"{key}/pull/{reading}", text, a_p, a_n, state.weight)
            pulled = dict(zip((1, -1), made if isinstance(made, tuple) else (made,), strict=False))
            sent.append(ops.weigh(state.x, pulled, reading, False))
        return sent


class State(NamedTuple):
    """The product z of a state x and its weight [gates, hidden], plus a bias.

    Attributes:
        p, n: masses of z without its bias; n None: not known apart.
        halved: whether the weight is data and takes the other half.
    """

    x: Value
    weight: Value
    bias: Value | None
    z: Value
    p: Value
    n: Value | None
    halved: bool = False


def product_masses(e: Ops, reading: str, x: Value, weight: Value) -> tuple[Value, ...]:
    """(p,) or (p, n) of x W^T."""
    parts = [e.parts(v, reading, False) for v in (x, weight)]  # type: ignore[arg-type]
    made = signed_masses(e, parts, product, ())
    return made if isinstance(made, tuple) else (made,)


class Operands(NamedTuple):
    """What one direction of a node computes with, in the order in which it goes through time.

    Attributes:
        x: [steps, batch, input].
        y: the states after every step, [steps, batch, hidden].
        w, r, wb, rb: weights [gates, input] and [gates, hidden] and their biases [gates].
        peephole: [3, hidden] for the gates i, o, f.
        h, c: states before the first step, [batch, hidden].
        data: which of "r" and "p" (state's weights, peephole) take relevance.
    """

    x: Value
    y: Value
    w: Value
    r: Value
    wb: Value | None = None
    rb: Value | None = None
    peephole: Value | None = None
    h: Value | None = None
    c: Value | None = None
    data: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cell:
    """A kind of cell.

    Attributes:
        activations: of its gates and what is made of them, in the specification's order.
        hidden: length of the state.
        clip: bound of what goes into the activations.
        equations: what a step computes, as they were written by `write`.
    """

    activations: tuple[Activation, ...]
    hidden: int
    clip: float | None = None
    equations: Equations | None = field(default=None, kw_only=True)

    gates: ClassVar[int] = 1
    """Gates side by side in the weights."""

    joins: ClassVar[bool] = True
    """Whether the input's product and the state's are added before gates are taken apart."""

    def write(self, s: Writer) -> dict[str, str]:
        """Write a step's equations; returns the names of the states after it, by state."""
        raise NotImplementedError

    def weights(self, ops: Ops, o: Operands) -> dict[str, Value]:
        """The weights that its equations read, by name."""
        found = {"w": o.w, "r": o.r, "wb": o.wb, "rb": o.rb}
        if o.peephole is not None:
            for k, name in enumerate(("p_i", "p_o", "p_f")):
                found[name] = row(ops, o.peephole, k)
        return {name: x for name, x in found.items() if x is not None}

    def unitwise(self, o: Operands) -> bool:
        """Whether `back` treats every unit alike, by sums of two terms, halves and products."""
        return True

    def forward(self, ops: Ops, key: str, reading: str, o: Operands) -> dict[str, Value]:
        """Values by name that `back` reads, each stacked [steps, batch, ...].

        Among them `before`, the state before every step, and the masses `p` and `n` of its product.
        """
        raise NotImplementedError

    def back(
        self,
        s: CellSharing,
        key: str,
        r: Mapping[str, Channels],
        v: Values,
        o: Operands,
        fixed: Fixed,
    ) -> Sent:
        """How relevance `r` of the states after a step, by name, leaves the step."""
        raise NotImplementedError

    def states(self, v: Values, o: Operands, ops: Ops) -> tuple[State, ...]:
        """The products with the state before, the one that `Sent.state` goes to first."""
        n = v.get("n")
        return (State(v["before"], o.r, o.rb, v["state"], v["p"], n, "r" in o.data),)

    def constant(self, s: CellSharing, v: Values, o: Operands, fixed: Fixed) -> Value:
        """What is added to the input's product before the first step, where that is "joined"."""
        return v["state"]

    @property
    def saturation(self) -> Gate | None:
        """Saturation gate of the input's product where it goes into one activation directly."""
        return None

    def act(self, e: Ops, i: int, z: Value) -> Value:
        """Activation `i` of what is clipped first."""
        if self.clip is not None:
            z = e.Clip(z, e.scalar(-self.clip), e.scalar(self.clip))
        return self.activations[i](e, z)

    def split(self, e: Ops, x: Value) -> tuple[Value, ...]:
        """The gates that lie side by side along the last axis, apart."""
        return e.split(x, [ints(self.hidden)] * self.gates, -1)


def preceding(e: Ops, y: Value, start: Value | None) -> Value:
    """The state before every step: `start` (zeros where left out), and all of y but the last."""
    if start is None:
        start = e.Expand(e.zero(), e.Shape(y, start=1))
    head = e.Unsqueeze(start, ints(0))
    return e.Concat(head, e.Slice(y, ints(0), ints(-1), ints(0)), axis=0)


def row(ops: Ops, weight: Value, k: int) -> Value:
    """Row k of a weight."""
    if isinstance(weight, Constant):
        return Constant(f"{weight.name}/{k}", weight.array[k])
    return ops.Gather(weight, np.int64(k), axis=0)
