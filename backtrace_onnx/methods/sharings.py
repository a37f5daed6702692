"""Rules of single nodes by name and parameters: `gamma(0.25)`, `zplus`, `alphabeta(2, 1)`, ...

Sources: epsilon and alpha-beta (Bach et al. 2015), z+, w^2, flat and the box (Montavon et al.
2017), gamma (Montavon et al. 2019), with its mirror image for units whose value is negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.methods.calls import read_numbers
from backtrace_onnx.ops.policy import Policy, divide, where
from backtrace_onnx.ops.sharing import Bounds, Sharing

EPSILON = 0.1
"""The stabiliser where none is named, relative to a layer's scale (scripts/tuning/epsilon.py)."""


def _gamma(gamma: float = 0.25) -> Sharing:
    """Contributions of the unit's own sign count 1 + gamma times."""

    def coefficients(p: Any, n: Any, b: Any, r: Any) -> Any:
        more = 1 + gamma
        above = p - n >= -b
        up, down = where(above, more, 1.0), where(above, 1.0, more)
        favoured = where(above, where(b > 0, b, 0), where(b < 0, b, 0))
        bias = b + gamma * favoured
        a = divide(r, up * p - down * n + bias)
        return ((a * up, -a * down, a * bias),)

    return Sharing(Policy(f"gamma({gamma:g})", coefficients, signed=True))


def _zplus() -> Sharing:
    """Positive contributions alone share."""

    def coefficients(p: Any, n: Any, b: Any, r: Any) -> Any:
        bias = where(b > 0, b, 0)
        a = divide(r, p + bias)
        return ((a, n * 0, a * bias),)

    return Sharing(Policy("zplus", coefficients, signed=True))


def _alphabeta(alpha: float = 2.0, beta: float = 1.0) -> Sharing:
    """Positive contributions share alpha times, negative ones take off beta times."""
    if not math.isclose(alpha - beta, 1):
        raise RequestError(f"alphabeta({alpha:g}, {beta:g}): alpha - beta is 1, as in (2, 1)")

    def coefficients(p: Any, n: Any, b: Any, r: Any) -> Any:
        above, below = where(b > 0, b, 0), where(b < 0, -b, 0)
        a, c = divide(r * alpha, p + above), divide(r * beta, n + below)
        return ((a, -c, a * above - c * below),)

    return Sharing(Policy(f"alphabeta({alpha:g}, {beta:g})", coefficients, signed=True))


def _epsilon(epsilon: float | None = None, absolute: float | None = None) -> Sharing:
    """By contribution, damped where the unit is next to 0, by the layer's scale or absolutely."""
    if absolute is None:
        return Sharing(epsilon=EPSILON if epsilon is None else epsilon)
    if epsilon is not None:
        raise RequestError(
            "epsilon takes one number, relative to a layer's scale, or absolute=, not both"
        )
    return Sharing(epsilon=absolute, absolute=True)


def absolute_epsilon(text: str) -> Policy | None:
    """The policy of `epsilon(absolute=1e-6)`, R / (t + eps sign t); None where the text is another.

    Raises RequestError for a parameter that is none.
    """
    call = read_numbers(text)
    if call is None or call[0] != "epsilon" or "absolute" not in call[2]:
        return None
    size = find_sharing(text).epsilon

    def coefficients(p: Any, n: Any, b: Any, r: Any) -> Any:
        t = p - n + b
        a = divide(r, where(t < 0, t - size, t + size))
        return ((a, -a, a * b),)

    return Policy(text, coefficients, reading="signed", signed=True)


def _box(low: float = math.nan, high: float = math.nan) -> Sharing:
    """By contribution beyond the bounds of the input; without them, those of its pictures."""
    if math.isnan(low) and math.isnan(high):
        return Sharing(weighed="box")
    if not -math.inf < low < high < math.inf:
        given = ", ".join(f"{bound:g}" for bound in (low, high) if not math.isnan(bound))
        raise RequestError(
            f"box({given}): takes two numbers, the lower bound first, as in box(0, 1), or none"
        )
    return Sharing(weighed="box", bounds=Bounds((low,), (high,)))


def _flat() -> Sharing:
    """All terms alike."""
    return Sharing(weighed="ones")


def _wsquare() -> Sharing:
    """By squared weight."""
    return Sharing(weighed="squares")


SHARINGS: dict[str, Callable[..., Sharing]] = {
    "alphabeta": _alphabeta,
    "box": _box,
    "epsilon": _epsilon,
    "flat": _flat,
    "gamma": _gamma,
    "wsquare": _wsquare,
    "zplus": _zplus,
}


def find_sharing(text: str) -> Sharing:
    """The rule of this name, with its parameters. Raises RequestError listing those that exist."""
    call, name = read_numbers(text), text.partition("(")[0].strip()
    if name not in SHARINGS:
        close = find_alike(name, SHARINGS)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(
            f"unknown rule {text!r}; there are: {', '.join(sorted(SHARINGS))}, with parameters as "
            f"in gamma(0.25){hint}"
        )
    takes = f"rule {text!r}: {name} takes {_spelled(SHARINGS[name])}"
    if call is None:
        raise RequestError(takes)
    name, numbers, named = call
    try:
        made = SHARINGS[name](*numbers, **named)
    except TypeError:
        raise RequestError(takes) from None
    values = (*numbers, *named.values())
    if name != "box" and any(not 0 <= value < math.inf for value in values):
        raise RequestError(f"rule {text!r}: its parameters are numbers from 0 on")
    return made


def _spelled(make: Callable[..., Sharing]) -> str:
    names = make.__code__.co_varnames[: make.__code__.co_argcount]
    if not names:
        return "no parameters"
    return f"({', '.join(names)}), {'numbers' if len(names) > 1 else 'a number'}"
