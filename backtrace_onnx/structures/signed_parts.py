"""A linear operator on the positive and negative parts of its factors, each known apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

from backtrace_onnx.ops.policy import Reading
from backtrace_onnx.ops.vocabulary import Ops, Value


def signed_masses(
    e: Ops,
    parts: Sequence[dict[int, Value]],
    forward: Callable[..., Value],
    steering: Sequence[Value],
) -> Value:
    """(p, n), or p alone: `forward` of every combination of parts, added by its sign.

    `parts` has, for each factor, its parts by sign, as `Ops.parts` makes them.
    """
    sides: dict[int, list[Value]] = {1: [], -1: []}
    for combo in product(*parts):
        signed = [part[sign] for part, sign in zip(parts, combo, strict=True)]
        term = forward(e, *signed, *steering)
        sides[prod(combo)].append(term)
    if not sides[-1]:
        return e.sum(sides[1])
    return e.sum(sides[1]), e.sum(sides[-1])


def adjoint_of_parts(
    adjoint: Callable[..., Value],
    k: int,
    signs: Sequence[int],
    known: Sequence[bool],
    reading: Reading,
) -> Callable[..., Value]:
    """Text `(ops, aP, aN, shape, *factors, *steering) -> `, for each sign of factor k's parts: the
    adjoint in factor k of the coefficients that its contributions of that sign have.

    Args:
        known: of every factor, whether it has no negative entry.
    """

    def text(e: Ops, a_p: Value, a_n: Value | None, shape: Value, *xs: Value) -> Value:
        xs, steering = xs[: len(known)], xs[len(known) :]
        parts = [{1: None} if j == k else e.parts(x, reading, known[j]) for j, x in enumerate(xs)]
        pulled = []
        for sign in signs:
            terms = []
            for combo in product(*parts):
                a = a_p if sign * prod(combo) > 0 else a_n
                if a is not None:
                    factors = [part[s] for part, s in zip(parts, combo, strict=True)]
                    terms.append(adjoint(e, k, a, factors, shape, *steering))
            pulled.append(e.sum(terms))
        return tuple(pulled) if len(pulled) > 1 else pulled[0]

    return text


def slope_on_side(ops: Ops, x: Value, pulled: dict[int, Value]) -> Value:
    """Of what is pulled back by the sign of x's parts, the slope on x's side of 0."""
    if -1 not in pulled:
        return pulled[1]
    return ops.Where(ops.Less(x, ops.zero()), ops.Neg(pulled[-1]), pulled[1])
