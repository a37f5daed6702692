"""Recurrent cells backwards: relevance of the states after every step, step by step.

Arrays are [steps, batch, width]; relevance is a tuple of them, one per channel. What is particular
to a kind of cell is bound by `kernels.jit.specialise`: `back` and `first`, one unit of one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtrace_onnx.kernels.channels import CHANNELS
from backtrace_onnx.kernels.jit import kernel, unbound

coefficients: Callable[..., Any] = unbound
keep: Callable[..., Any] = unbound
back: Callable[..., Any] = unbound
first: Callable[..., Any] = unbound

WORDS: dict[str, Callable[..., Any]] = {}
"""What loops and texts of units are written in, on relevance of all channels."""


def _word(function: Callable[..., Any]) -> Callable[..., Any]:
    WORDS[function.__name__] = function
    return function


@kernel
def recur(f, a, before):  # type: ignore[no-untyped-def]
    """before[t + 1] = f[t] * before[t] + a[t], all [steps, batch, hidden]; before[0] is given."""
    for t in range(1, f.shape[0]):
        for b in range(f.shape[1]):
            for j in range(f.shape[2]):
                before[t, b, j] = f[t - 1, b, j] * before[t - 1, b, j] + a[t - 1, b, j]


@_word
def at(r, t, b, j):  # type: ignore[no-untyped-def]
    """The entry [t, b, j] of relevance, by channel."""
    made = CHANNELS
    for k in CHANNELS:
        made[k] = r[k][t, b, j]
    return (*made,)


@_word
def put(r, t, b, j, values):  # type: ignore[no-untyped-def]
    """Set the entry [t, b, j] of relevance to these values, by channel."""
    for k in CHANNELS:
        r[k][t, b, j] = values[k]


@_word
def nothing(r):  # type: ignore[no-untyped-def]
    """Zeros as precise as the numbers given, by channel."""
    made = CHANNELS
    for k in CHANNELS:
        made[k] = type(r[k])(0)
    return (*made,)


@_word
def half(r):  # type: ignore[no-untyped-def]
    """The share of one of a product's two factors, by channel."""
    made = CHANNELS
    for k in CHANNELS:
        made[k] = r[k] * type(r[k])(0.5)
    return (*made,)


@_word
def plus(r, s):  # type: ignore[no-untyped-def]
    """The sum of two entries of relevance, by channel."""
    made = CHANNELS
    for k in CHANNELS:
        made[k] = r[k] + s[k]
    return (*made,)


@_word
def pull(r, a_p, a_n, weight, x, b):  # type: ignore[no-untyped-def]
    """Add to r[b] what a state x [hidden] is sent through its product with the weight."""
    for k in CHANNELS:
        _pull_row(r[k][0, b], a_p[k][0, b], a_n[k][0, b], weight, x)


@kernel
def _pull_row(r, a_p, a_n, weight, x):  # type: ignore[no-untyped-def]
    for k in range(weight.shape[0]):
        positive, negative = a_p[k], -a_n[k]
        if positive != 0 or negative != 0:
            for j in range(r.size):
                c = weight[k, j] * x[j]
                r[j] += c * (positive if c > 0 else negative)


@kernel
def _sent(made, x):  # type: ignore[no-untyped-def]
    """What a contribution is sent by the coefficients made of its unit."""
    return type(x)(made[0]) * x if x > 0 else -type(x)(made[1]) * x


def share_terms(tag: str) -> Callable[..., Any]:
    """Template: what x and y of the sum x + y are sent."""

    def share(x, y, r):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        to_x = to_y = CHANNELS
        zero = type(x)(0)
        p, n = zero, zero
        for c in (x, y):
            if c > 0:
                p += c
            else:
                n -= c
        made = coefficients(p, n, zero, *r)
        for k in CHANNELS:
            to_x[k], to_y[k] = _sent(made[k], x), _sent(made[k], y)
        return (*to_x,), (*to_y,)

    return share


def share_alone(tag: str) -> Callable[..., Any]:
    """Template: what x of the sum x + bias is sent."""

    def alone(x, bias, r):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        to_x = CHANNELS
        zero = type(x)(0)
        p, n = (x, zero) if x > 0 else (zero, -x)
        made = coefficients(p, n, bias, *r)
        for k in CHANNELS:
            to_x[k] = _sent(made[k], x)
        return (*to_x,)

    return alone


def keep_coefficients(tag: str) -> Callable[..., Any]:
    """Template: coefficients of unit [t, b, i] of a product, into a_p and a_n [1, batch, units]."""

    def keep(p, n, bias, t, b, i, r, a_p, a_n):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        made = coefficients(p[t, b, i], n[t, b, i], bias[i], *r)
        for k in CHANNELS:
            a_p[k][0, b, i], a_n[k][0, b, i] = made[k][0], made[k][1]

    return keep


def cell(tag: str, text: str) -> Callable[..., Any]:
    """Template: all steps of a cell whose units `text` describes.

    `r_h`, `r_c` [1, batch, hidden]: at first the last states' relevance, in the end that of the
    states before the first step. `out_h`, `out_c`: at first what the outputs of every step bring,
    in the end the relevance of the states after every step. `valid` [steps, batch, 1]: 0 behind a
    sequence's end. `values`: what a unit's text reads. `product`: (p, n, bias, weight, x, aP, aN),
    masses and bias of the state's product, its factors, and room for one step's coefficients;
    `inner`: the same for a product in the middle of a step, `r_in` room for what it pulls. None:
    there is none.
    """

    def cell(r_h, r_c, out_h, out_c, valid, values, product, inner, r_in):  # type: ignore[no-untyped-def]
        tag, text  # noqa: B018  (part of the cache's key)
        p, n, bias, weight, before, a_p, a_n = product
        steps, batch, hidden = before.shape
        if inner is not None:
            p_in, n_in, bias_in, weight_in, x_in, a_p_in, a_n_in = inner
        for t in range(steps - 1, -1, -1):
            for b in range(batch):
                if valid[t, b, 0] == 0:
                    continue
                for j in range(hidden):
                    h = plus(at(out_h, t, b, j), at(r_h, 0, b, j))
                    put(out_h, t, b, j, h)
                    if r_c is not None:
                        put(out_c, t, b, j, at(r_c, 0, b, j))
                    if inner is not None:
                        put(r_in, 0, b, j, nothing(h))
                        r = first(t, b, j, h, h, h, *values)
                        keep(p_in, n_in, bias_in, t, b, j, r, a_p_in, a_n_in)
                if inner is not None:
                    pull(r_in, a_p_in, a_n_in, weight_in, x_in[t, b], b)
                for j in range(hidden):
                    h = at(out_h, t, b, j)
                    c = h if r_c is None else at(r_c, 0, b, j)
                    pulled = h if r_in is None else at(r_in, 0, b, j)
                    gates, to_h, to_c = back(t, b, j, h, c, pulled, *values)
                    put(r_h, 0, b, j, to_h)
                    if r_c is not None:
                        put(r_c, 0, b, j, to_c)
                    for k in range(len(gates)):
                        keep(p, n, bias, t, b, j + k * hidden, gates[k], a_p, a_n)
                pull(r_h, a_p, a_n, weight, before[t, b], b)

    return cell


TEMPLATES = {"share": share_terms, "alone": share_alone, "keep": keep_coefficients}
