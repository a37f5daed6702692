"""Policies: how a unit shares its relevance among contributions. The only text that divides.

A policy is one scalar function of a unit's positive mass `p`, negative mass `n`, bias `b` and its
relevance `r` (one per channel). It returns, for each channel, `(aP, aN, to_bias)`: every positive
contribution c+ is sent aP * c+, every negative one aN * c-, and the bias absorbs `to_bias`.
It is written down for Numba and as ONNX nodes (`ops.policy_scalars`), so it uses only `+ - * / **`,
comparisons, `&`, `|`, `^`, `abs`, `where` and `divide`, numbers (NumPy's too), and functions
that do so. A comparison is 1 or 0 in arithmetic. What it refers to, as globals, in its closure or
in what these hold, belongs to it: where that changes it is another policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from backtrace_onnx.errors import RequestError, RuleError
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.methods.named import NAMES, named_method
from backtrace_onnx.methods.policy_checks import check_policy
from backtrace_onnx.methods.several_walks import SEVERAL, find_several, no_parameter
from backtrace_onnx.methods.sharings import absolute_epsilon
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Coefficients, Policy, Reading, divide, where
from backtrace_onnx.ops.policy_text import identify

POLICIES: dict[str, Policy] = {}
_OWN: set[str] = set()


def policy(
    name: str,
    *,
    channels: int = 1,
    reading: Reading = "split",
    gated: bool = False,
    signed: bool | None = None,
    sided: bool = False,
) -> Callable[[Coefficients], Coefficients]:
    """Register the decorated function as a mode: how every unit shares its relevance.

    The function is scalar. It takes a unit's positive mass `p` and negative mass `n`, both from 0
    on, its bias `b`, and its relevance `r`, one number for each channel. It returns a tuple
    `(aP, aN, to_bias)` for each channel: a positive contribution c is sent aP * c, a negative one
    aN * |c|, and the bias absorbs `to_bias`. CONTRIBUTING.md has an example.

    Args:
        name: what users give as `mode`.
        channels: 1, or 2, of which the second speaks against the target.
        reading: what the function needs to know of p and n: "split", both; "absolute", p + n only;
            "signed", p - n only. It gets the known number as p and 0 as n; both halve the work.
        gated: whether a saturating activation that follows silences the saturated side.
        signed: whether relevance may be negative; default: whether the reading is "signed".
        sided: whether biases only decide, by the sign of the unit's value, which side carries what.

    Raises:
        RuleError: the name is taken, an argument is none of these, or the function takes, returns
            or uses something else.
    """

    def register(coefficients: Coefficients) -> Coefficients:
        has_sign = reading == "signed" if signed is None else signed
        made = Policy(name, coefficients, channels, reading, gated, signed=has_sign, sided=sided)
        check_policy(made)
        return _registered(made).coefficients

    return register


def _registered(policy: Policy) -> Policy:
    if policy.name in {*POLICIES, *NAMES, *SEVERAL}:
        raise RuleError(f"a policy named {policy.name!r} exists already; choose another name")
    POLICIES[policy.name] = policy
    return policy


def _own(name: str, **how: Any) -> Callable[[Coefficients], Coefficients]:
    """Register one of this package's policies, which its tests check, and which never change."""

    def register(coefficients: Coefficients) -> Coefficients:
        _OWN.add(name)
        return _registered(Policy(name, coefficients, **how)).coefficients

    return register


def find_method(mode: Any, **parameters: Any) -> Method:
    """The method that a mode names: several walks, a signed one, or the sharing by a policy.

    Raises RequestError listing those that exist, and for parameters that the mode does not take.
    """
    mode = mode.strip() if isinstance(mode, str) else mode
    several = find_several(mode, parameters)
    found = several or named_method(mode) or Method(mode, find_policy(mode))
    for name in parameters if several is None else ():
        raise no_parameter(mode, name, [])
    return found


def find_policy(mode: str) -> Policy:
    """The policy registered as `mode`, with the identity of what its function computes now; or the
    one that `epsilon(absolute=1e-6)` writes out.

    Raises RequestError listing those that exist, RuleError where the function computes nothing.
    """
    try:
        found = POLICIES.get(mode) or absolute_epsilon(mode)
    except TypeError:
        found = None
    if found is None:
        raise _unknown(mode) from None
    return _identified_once(found) if found.name in _OWN else _identified(found)


def _unknown(mode: Any) -> RequestError:
    """That a mode is none, or none that is a method by itself."""
    name = mode.partition("(")[0].strip() if isinstance(mode, str) else ""
    if name == "auto":
        return RequestError(f"mode {mode!r}: what auto picks hangs on a model; name a mode here")
    if name in POLICIES:
        return RequestError(f"mode {name!r} takes no parameter; write mode={name!r}")
    known = sorted({*POLICIES, *NAMES, *SEVERAL, "auto"})
    close = find_alike(name, known) if name else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return RequestError(f"unknown mode {mode!r}; there are: {', '.join(known)}{hint}")


def _identified(policy: Policy) -> Policy:
    """The policy with the identity of what its function computes now."""
    try:
        return replace(policy, identity=identify(policy.coefficients, policy.channels))
    except RuleError as error:
        raise RuleError(f"policy {policy.name!r}: {error}") from None


_identified_once = cache(_identified)


@_own("default", reading="absolute", gated=True)
def default(p: Any, n: Any, b: Any, r: Any) -> Any:
    """Shares by the size of contributions, whatever their sign; |b| absorbs its share."""
    a = divide(r, p + n + abs(b))
    return ((a, a, a * abs(b)),)


@_own("contrastive", channels=2, sided=True)
def contrastive(p: Any, n: Any, b: Any, rp: Any, rn: Any) -> Any:
    """R+ and R- travel apart; the sign T of a unit's value decides which side carries which.

    Where T > 0 and R+ prevails, or T < 0 and R- does, positive contributions carry R+ and negative
    ones R-; else the other way round. Where one side has no contributions the other one carries
    both, where T is 0 nothing is sent. Biases absorb nothing.
    """
    above, below = p - n > -b, p - n < -b  # the sign of T, without its rounding
    keep = (above & (rp > rn)) | (below & (rp < rn))
    alone = (p == 0) | (n == 0)
    swap = alone | ((above | below) ^ keep)
    keep = alone | keep
    return (
        (where(keep, divide(rp, p), 0), where(swap, divide(rp, n), 0), b * 0),
        (where(swap, divide(rn, p), 0), where(keep, divide(rn, n), 0), b * 0),
    )
