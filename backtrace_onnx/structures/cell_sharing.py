"""The words in which relevance leaves a recurrent cell's step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Constant, Ops, Term, Value
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.products import product
from backtrace_onnx.structures.signed_parts import signed_masses

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
        peepholes: to the peephole weights, by name, unsummed.
    """

    x: Channels
    state: Channels | None
    h: Channels | None = None
    c: Channels | None = None
    inner: Channels | None = None
    peepholes: Mapping[str, Channels] = MappingProxyType({})


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
