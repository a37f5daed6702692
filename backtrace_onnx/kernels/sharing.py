"""Applying a policy's scalar function to every unit, and weighing what is pulled back.

Units are laid out [outer, middle, inner]; a bias has size 1 along the axes it does not vary over.
`sample[outer]` is the sample an outer index belongs to. Relevance and coefficients are tuples of
arrays, one per channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtrace_onnx.kernels.jit import kernel
from backtrace_onnx.policies import default

coefficients: Callable[..., Any] = default  # bound anew by kernels.jit.specialise


@kernel
def _at(x, o, m, i, zero):  # type: ignore[no-untyped-def]
    """x[o, m, i], broadcast along axes of size 1; zero where there is no x."""
    if x is None:
        return zero
    return x[o * (x.shape[0] > 1), m * (x.shape[1] > 1), i * (x.shape[2] > 1)]


def share_one(tag: str) -> Callable[..., Any]:
    """Template: one relevance channel."""

    def share_one(p, n, b, r, low, high, sample, a_p, a_n, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = p.dtype.type(0)
        for o in range(p.shape[0]):
            absorbed = 0.0
            lost = 0.0
            for m in range(p.shape[1]):
                for i in range(p.shape[2]):
                    plus, minus, bias = p[o, m, i], _at(n, o, m, i, zero), _at(b, o, m, i, zero)
                    shut_p, shut_n = False, False
                    if n is not None:
                        t = plus - minus + bias
                        shut_p, shut_n = t < low, t > high
                    open_p, open_n = zero if shut_p else plus, zero if shut_n else minus
                    ((a, c, z),) = coefficients(open_p, open_n, bias, r[0][o, m, i])
                    a, c = a * 0 if shut_p else a, c * 0 if shut_n else c
                    a_p[0][o, m, i] = a
                    if n is not None:
                        a_n[0][o, m, i] = c
                    absorbed += z
                    lost += r[0][o, m, i] - z - a * plus - c * minus
            to_bias[0, sample[o]] += absorbed
            unassigned[0, sample[o]] += lost

    return share_one


def share_two(tag: str) -> Callable[..., Any]:
    """Template: two relevance channels; no gate."""

    def share_two(p, n, b, r, low, high, sample, a_p, a_n, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = p.dtype.type(0)
        for o in range(p.shape[0]):
            for m in range(p.shape[1]):
                for i in range(p.shape[2]):
                    plus, minus, bias = p[o, m, i], _at(n, o, m, i, zero), _at(b, o, m, i, zero)
                    r_for, r_against = r[0][o, m, i], r[1][o, m, i]
                    (a, c, z), (d, e, y) = coefficients(plus, minus, bias, r_for, r_against)
                    a_p[0][o, m, i] = a
                    a_p[1][o, m, i] = d
                    if n is not None:
                        a_n[0][o, m, i] = c
                        a_n[1][o, m, i] = e
                    to_bias[0, sample[o]] += z
                    to_bias[1, sample[o]] += y
                    unassigned[0, sample[o]] += r_for - z - a * plus - c * minus
                    unassigned[1, sample[o]] += r_against - y - d * plus - e * minus

    return share_two


def share_terms_one(tag: str) -> Callable[..., Any]:
    """Template: units are sums of signs[k] * x[k]; what term k is sent goes to out[channel][k].

    An infinite term is sent nothing. `reading` is an index of policies.Reading.
    """

    def share_terms_one(x, signs, reading, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = r[0].dtype.type(0)
        for o in range(r[0].shape[0]):
            absorbed = 0.0
            lost = 0.0
            for m in range(r[0].shape[1]):
                for i in range(r[0].shape[2]):
                    p, n = zero, zero
                    for k in range(len(x)):
                        c = x[k][o, m, i] * signs[k]
                        if reading == 0:
                            p += abs(c)
                        elif reading == 1 or c > 0:
                            p += c
                        else:
                            n -= c
                    ((a, d, z),) = coefficients(p, n, _at(b, o, m, i, zero), r[0][o, m, i])
                    rest = r[0][o, m, i] - z
                    for k in range(len(x)):
                        c = x[k][o, m, i] * signs[k]
                        sent = zero
                        if abs(c) != np.inf:
                            if reading == 0:
                                sent = a * abs(c)
                            elif reading == 1 or c > 0:
                                sent = a * c
                            else:
                                sent = -d * c
                        out[0][k][o, m, i] = sent
                        rest -= out[0][k][o, m, i]
                    absorbed += z
                    lost += rest
            to_bias[0, sample[o]] += absorbed
            unassigned[0, sample[o]] += lost

    return share_terms_one


def share_terms_two(tag: str) -> Callable[..., Any]:
    """Template: the same for two channels."""

    def share_terms_two(x, signs, reading, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = r[0].dtype.type(0)
        for o in range(r[0].shape[0]):
            for m in range(r[0].shape[1]):
                for i in range(r[0].shape[2]):
                    p, n = zero, zero
                    for k in range(len(x)):
                        c = x[k][o, m, i] * signs[k]
                        if reading == 0:
                            p += abs(c)
                        elif reading == 1 or c > 0:
                            p += c
                        else:
                            n -= c
                    bias, r_for, r_against = _at(b, o, m, i, zero), r[0][o, m, i], r[1][o, m, i]
                    (a, d, z), (e, f, y) = coefficients(p, n, bias, r_for, r_against)
                    rest, rest_against = r_for - z, r_against - y
                    for k in range(len(x)):
                        c = x[k][o, m, i] * signs[k]
                        sent, sent_against = zero, zero
                        if abs(c) != np.inf:
                            if reading == 0:
                                sent, sent_against = a * abs(c), e * abs(c)
                            elif reading == 1 or c > 0:
                                sent, sent_against = a * c, e * c
                            else:
                                sent, sent_against = -d * c, -f * c
                        out[0][k][o, m, i] = sent
                        out[1][k][o, m, i] = sent_against
                        rest -= out[0][k][o, m, i]
                        rest_against -= out[1][k][o, m, i]
                    to_bias[0, sample[o]] += z
                    to_bias[1, sample[o]] += y
                    unassigned[0, sample[o]] += rest
                    unassigned[1, sample[o]] += rest_against

    return share_terms_two


@kernel
def weigh_absolute(x, g):  # type: ignore[no-untyped-def]
    """g *= |x|, flat."""
    for i in range(x.size):
        g[i] *= abs(x[i])


@kernel
def weigh_signed(x, g):  # type: ignore[no-untyped-def]
    """g *= x, flat."""
    for i in range(x.size):
        g[i] *= x[i]


@kernel
def weigh_split(x, g, h):  # type: ignore[no-untyped-def]
    """g = x+ * g + x- * h, flat."""
    for i in range(x.size):
        g[i] = x[i] * g[i] if x[i] > 0 else -x[i] * h[i]


@kernel
def total(x, sample, out):  # type: ignore[no-untyped-def]
    """out[sample[o]] += sum of row o of x[outer, inner], in float64."""
    for o in range(x.shape[0]):
        row = 0.0
        for i in range(x.shape[1]):
            row += x[o, i]
        out[sample[o]] += row
