"""Words on relevance of one channel or two, for loops that need not know which.

Relevance is a pair, of numbers or of arrays [steps, batch, width]; the second is None where there
is one channel only. Numba compiles each word for the pair it meets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import overload

from backtrace_onnx.kernels.jit import OPTIONS, kernel, specialise, unbound
from backtrace_onnx.ops.policy import Policy


def unless_none(loop: Callable[..., Any], none: Callable[..., Any]) -> Any:
    """A word for compiled loops: `loop`, but `none` where its first argument is None.

    Numba does not forget what it would do with None unless the choice is made by type.
    """

    def word(*args: Any) -> Any:
        return (none if args[0] is None else loop)(*args)

    def choose(*args: Any) -> Any:
        return none if isinstance(args[0], types.NoneType) else loop

    overload(word, jit_options=OPTIONS, strict=False)(choose)  # type: ignore[arg-type]
    return word


_read = unless_none(lambda x, t, b, j: x[t, b, j], lambda x, t, b, j: None)
_halved = unless_none(lambda x: x * type(x)(0.5), lambda x: None)
_zero = unless_none(lambda x: type(x)(0), lambda x: None)
_sum = unless_none(lambda x, y: x + y, lambda x, y: None)


def _put_one(x, t, b, j, value):  # type: ignore[no-untyped-def]
    x[t, b, j] = value


def _weigh(shares, x, reading):  # type: ignore[no-untyped-def]
    a, c = type(x)(shares[0]), type(x)(shares[1])
    if reading == 0:
        return a * abs(x)
    if reading == 1 or x > 0:
        return a * x
    return -c * x


def _keep_one(shares, b, k, a_p, a_n):  # type: ignore[no-untyped-def]
    a_p[0, b, k], a_n[0, b, k] = shares


_write = unless_none(_put_one, lambda x, t, b, j, value: None)
_weighed = unless_none(_weigh, lambda shares, x, reading: None)
_keep = unless_none(_keep_one, lambda shares, b, k, a_p, a_n: None)


@kernel
def at(r, t, b, j):  # type: ignore[no-untyped-def]
    """r[t, b, j]."""
    return _read(r[0], t, b, j), _read(r[1], t, b, j)


@kernel
def put(r, t, b, j, values):  # type: ignore[no-untyped-def]
    """r[t, b, j] = values."""
    _write(r[0], t, b, j, values[0])
    _write(r[1], t, b, j, values[1])


@kernel
def nothing(r):  # type: ignore[no-untyped-def]
    """Zeros."""
    return _zero(r[0]), _zero(r[1])


@kernel
def half(r):  # type: ignore[no-untyped-def]
    """The share of one of a product's two factors."""
    return _halved(r[0]), _halved(r[1])


@kernel
def plus(r, s):  # type: ignore[no-untyped-def]
    """Sum by channel."""
    return _sum(r[0], s[0]), _sum(r[1], s[1])


def shares_one(tag: str) -> Callable[..., Any]:
    """Template: coefficients (aP, aN) of the one channel, and None."""

    def shares_one(p, n, bias, r, against):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        ((a, c, _),) = coefficients(p, n, bias, r)
        return (a, c), None

    return shares_one


def shares_two(tag: str) -> Callable[..., Any]:
    """Template: coefficients (aP, aN) of both channels."""

    def shares_two(p, n, bias, r, against):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        (a, c, _), (d, e, _) = coefficients(p, n, bias, r, against)
        return (a, c), (d, e)

    return shares_two


def share(tag: str) -> Callable[..., Any]:
    """Template: what x and y of the sum x + y are sent; `reading` indexes policies.Reading."""

    def share(reading, x, y, r):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = type(x)(0)
        p, n = zero, zero
        for c in (x, y):
            if reading == 0:
                p += abs(c)
            elif reading == 1 or c > 0:
                p += c
            else:
                n -= c
        one, two = shares(p, n, zero, r[0], r[1])
        to_x = _weighed(one, x, reading), _weighed(two, x, reading)
        return to_x, (_weighed(one, y, reading), _weighed(two, y, reading))

    return share


def alone(tag: str) -> Callable[..., Any]:
    """Template: what x of the sum x + bias is sent."""

    def alone(reading, x, bias, r):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = type(x)(0)
        p, n = zero, zero
        if reading == 0:
            p = abs(x)
        elif reading == 1 or x > 0:
            p = x
        else:
            n = -x
        one, two = shares(p, n, bias, r[0], r[1])
        return _weighed(one, x, reading), _weighed(two, x, reading)

    return alone


def unit(tag: str) -> Callable[..., Any]:
    """Template: coefficients of a unit with masses (p, n, bias), into a_p and a_n [0, b, k]."""

    def unit(reading, masses, t, b, k, r, a_p, a_n):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        p, n, bias = masses
        minus = n[t, b, k] if reading == 2 else p.dtype.type(0)
        one, two = shares(p[t, b, k], minus, bias[k], r[0], r[1])
        _keep(one, b, k, a_p[0], a_n[0])
        _keep(two, b, k, a_p[1], a_n[1])

    return unit


coefficients: Callable[..., Any] = unbound  # these two are bound anew by kernels.jit.specialise
shares: Callable[..., Any] = shares_one


def words(policy: Policy) -> dict[str, Callable[..., Any]]:
    """`share`, `alone` and `unit` for a policy, by name."""
    bound = specialise((shares_one, shares_two)[policy.channels - 1], policy)
    return {t.__name__: specialise(t, policy, shares=bound) for t in (share, alone, unit)}
