"""Sharing among the terms of a sum.

Units are sums of signs[k] * x[k]; an infinite term is sent nothing. `reading` is an index of
policy.Reading. The rest is as in `sharing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtrace_onnx.kernels.channels import CHANNELS
from backtrace_onnx.kernels.jit import kernel, unbound
from backtrace_onnx.kernels.sharing import BLOCK

coefficients: Callable[..., Any] = unbound  # bound anew by kernels.jit.specialise


@kernel
def _masses(c, e, zero, reading):  # type: ignore[no-untyped-def]
    """(p, n) of two contributions; 0 comes from outside, for infinity times 0 is none."""
    if reading == 0:
        return abs(c) + abs(e), zero
    if reading == 1:
        return c + e, zero
    return max(c, zero) + max(e, zero), max(-c, zero) + max(-e, zero)


@kernel
def _sent(c, a, d, reading):  # type: ignore[no-untyped-def]
    """What a contribution is sent by the coefficients aP = a and aN = d."""
    c = c if abs(c) != np.inf else a * 0
    return a * abs(c) if reading == 0 else a * c if reading == 1 or c > 0 else -d * c


def share_pair(tag: str, reading: int) -> Callable[..., Any]:
    """Template: sums of two terms; x holds both, `out` what both are sent, by channel."""

    def share_pair(x, signs, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        rs = to_first = to_second = given = absorbed = lost = CHANNELS
        zero = r[0].dtype.type(0)
        for o in range(r[0].shape[0]):
            for m in range(r[0].shape[1]):
                biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                varies, fixed = biases.size > 1, biases[0]
                for begin in range(0, r[0].shape[2], BLOCK):
                    end = begin + BLOCK
                    first, second = x[0][o, m, begin:end], x[1][o, m, begin:end]
                    bs = biases[begin * varies : begin * varies + BLOCK]
                    for k in CHANNELS:
                        rs[k], to_first[k] = r[k][o, m, begin:end], out[k][0][o, m, begin:end]
                        to_second[k] = out[k][1][o, m, begin:end]
                        absorbed[k], lost[k] = zero, zero
                    for i in range(first.size):
                        c, e = first[i] * signs[0], second[i] * signs[1]
                        p, n = _masses(c, e, zero, reading)
                        for k in CHANNELS:
                            given[k] = rs[k][i]
                        made = coefficients(p, n, bs[i] if varies else fixed, *given)
                        for k in CHANNELS:
                            a, d, z = made[k]
                            s, t = _sent(c, a, d, reading), _sent(e, a, d, reading)
                            to_first[k][i], to_second[k][i] = s, t
                            absorbed[k] += z
                            lost[k] += given[k] - z - s - t
                    for k in CHANNELS:
                        to_bias[k, sample[o]] += absorbed[k]
                        unassigned[k, sample[o]] += lost[k]

    return share_pair


@kernel
def _add_up(x, sign, reading, p, n):  # type: ignore[no-untyped-def]
    """Add a term of some units to their masses."""
    zero = p.dtype.type(0)
    for i in range(x.size):
        c = x[i] * sign
        if reading == 0:
            p[i] += abs(c)
        elif reading == 1:
            p[i] += c
        else:
            p[i] += max(c, zero)
            n[i] += max(-c, zero)


@kernel
def _send(x, sign, reading, a, d, to, rest):  # type: ignore[no-untyped-def]
    """Send a term of some units its shares; takes them from the rest."""
    for i in range(x.size):
        to[i] = _sent(x[i] * sign, a[i], d[i], reading)
        rest[i] -= to[i]


def share_terms(tag: str, reading: int) -> Callable[..., Any]:
    """Template: sums of any number of terms; these lie in one array, and so does what they are
    sent.

    A block of units is gone through term by term; their coefficients have room in between.
    """

    def share_terms(x, signs, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        rs = a_p = a_n = rest = given = absorbed = CHANNELS
        p, n = np.empty(BLOCK, r[0].dtype), np.empty(BLOCK, r[0].dtype)
        for k in CHANNELS:
            a_p[k], a_n[k], rest[k] = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
        for o in range(r[0].shape[0]):
            for m in range(r[0].shape[1]):
                biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                varies, fixed = biases.size > 1, biases[0]
                for begin in range(0, r[0].shape[2], BLOCK):
                    end = begin + BLOCK
                    bs = biases[begin * varies : begin * varies + BLOCK]
                    for k in CHANNELS:
                        rs[k], absorbed[k] = r[k][o, m, begin:end], 0.0
                    p[:], n[:] = 0, 0
                    for j in range(len(x)):
                        _add_up(x[j, o, m, begin:end], signs[j], reading, p, n)
                    size = min(BLOCK, r[0].shape[2] - begin)
                    for i in range(size):
                        for k in CHANNELS:
                            given[k] = rs[k][i]
                        made = coefficients(p[i], n[i], bs[i] if varies else fixed, *given)
                        for k in CHANNELS:
                            a_p[k][i], a_n[k][i], z = made[k]
                            rest[k][i] = given[k] - z
                            absorbed[k] += z
                    for j in range(len(x)):
                        row = x[j, o, m, begin:end]
                        for k in CHANNELS:
                            to = out[k][j, o, m, begin:end]
                            _send(row, signs[j], reading, a_p[k], a_n[k], to, rest[k])
                    for k in CHANNELS:
                        to_bias[k, sample[o]] += absorbed[k]
                        unassigned[k, sample[o]] += rest[k][:size].sum()

    return share_terms
