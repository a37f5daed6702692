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
def _at(x, o, m, i):  # type: ignore[no-untyped-def]
    """x[o, m, i], broadcast along axes of size 1."""
    return x[o * (x.shape[0] > 1), m * (x.shape[1] > 1), i * (x.shape[2] > 1)]


def share_terms(tag: str, reading: int) -> Callable[..., Any]:
    """Template: sums of any number of terms; these lie in one array, and so does what they are
    sent.
    """

    def share_terms(x, signs, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        given = rest = absorbed = lost = CHANNELS
        zero = r[0].dtype.type(0)
        for o in range(r[0].shape[0]):
            for k in CHANNELS:
                absorbed[k], lost[k] = 0.0, 0.0
            for m in range(r[0].shape[1]):
                for i in range(r[0].shape[2]):
                    p, n = zero, zero
                    for j in range(len(x)):
                        c = x[j, o, m, i] * signs[j]
                        if reading == 0:
                            p += abs(c)
                        elif reading == 1 or c > 0:
                            p += c
                        else:
                            n -= c
                    for k in CHANNELS:
                        given[k] = r[k][o, m, i]
                    made = coefficients(p, n, _at(b, o, m, i), *given)
                    for k in CHANNELS:
                        rest[k] = given[k] - made[k][2]
                    for j in range(len(x)):
                        c = x[j, o, m, i] * signs[j]
                        for k in CHANNELS:
                            out[k][j, o, m, i] = _sent(c, made[k][0], made[k][1], reading)
                            rest[k] -= out[k][j, o, m, i]
                    for k in CHANNELS:
                        absorbed[k] += made[k][2]
                        lost[k] += rest[k]
            for k in CHANNELS:
                to_bias[k, sample[o]] += absorbed[k]
                unassigned[k, sample[o]] += lost[k]

    return share_terms
