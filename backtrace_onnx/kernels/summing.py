"""Sharing among the terms of a sum: what term k is sent goes to out[channel][k].

Units are sums of signs[k] * x[k]; an infinite term is sent nothing. `reading` is an index of
policies.Reading. The rest is as in `sharing`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

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


@cache
def share_pair(channels: int, reading: int) -> Callable[[str], Callable[..., Any]]:
    """Template: two terms, in a loop that knows how they are read."""
    return (_pair_one, _pair_two)[channels - 1](reading)


def _pair_one(reading: int) -> Callable[[str], Callable[..., Any]]:
    def template(tag: str) -> Callable[..., Any]:
        def share_pair_one(x, signs, _, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
            tag  # noqa: B018  (part of the cache's key)
            zero = r[0].dtype.type(0)
            for o in range(r[0].shape[0]):
                for m in range(r[0].shape[1]):
                    biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                    varies, fixed = biases.size > 1, biases[0]
                    for begin in range(0, r[0].shape[2], BLOCK):
                        end = begin + BLOCK
                        first, second = x[0][o, m, begin:end], x[1][o, m, begin:end]
                        to_first, to_second = out[0][0][o, m, begin:end], out[0][1][o, m, begin:end]
                        rs = r[0][o, m, begin:end]
                        bs = biases[begin * varies : begin * varies + BLOCK]
                        absorbed, lost = zero, zero
                        for i in range(rs.size):
                            c, e = first[i] * signs[0], second[i] * signs[1]
                            p, n = _masses(c, e, zero, reading)
                            ((a, d, z),) = coefficients(p, n, bs[i] if varies else fixed, rs[i])
                            s, t = _sent(c, a, d, reading), _sent(e, a, d, reading)
                            to_first[i], to_second[i] = s, t
                            absorbed += z
                            lost += rs[i] - z - s - t
                        to_bias[0, sample[o]] += absorbed
                        unassigned[0, sample[o]] += lost

        return share_pair_one

    return template


def _pair_two(reading: int) -> Callable[[str], Callable[..., Any]]:
    def template(tag: str) -> Callable[..., Any]:
        def share_pair_two(x, signs, _, b, r, sample, out, to_bias, unassigned):  # type: ignore[no-untyped-def]
            tag  # noqa: B018  (part of the cache's key)
            zero = r[0].dtype.type(0)
            for o in range(r[0].shape[0]):
                for m in range(r[0].shape[1]):
                    biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                    varies, fixed = biases.size > 1, biases[0]
                    for begin in range(0, r[0].shape[2], BLOCK):
                        end = begin + BLOCK
                        first, second = x[0][o, m, begin:end], x[1][o, m, begin:end]
                        fors, againsts = r[0][o, m, begin:end], r[1][o, m, begin:end]
                        to_first, to_second = out[0][0][o, m, begin:end], out[0][1][o, m, begin:end]
                        at_first, at_second = out[1][0][o, m, begin:end], out[1][1][o, m, begin:end]
                        bs = biases[begin * varies : begin * varies + BLOCK]
                        absorbed, lost, other_absorbed, other_lost = zero, zero, zero, zero
                        for i in range(fors.size):
                            c, e = first[i] * signs[0], second[i] * signs[1]
                            p, n = _masses(c, e, zero, reading)
                            bias = bs[i] if varies else fixed
                            (a, d, z), (f, g, y) = coefficients(p, n, bias, fors[i], againsts[i])
                            s, t = _sent(c, a, d, reading), _sent(e, a, d, reading)
                            u, v = _sent(c, f, g, reading), _sent(e, f, g, reading)
                            to_first[i], to_second[i] = s, t
                            at_first[i], at_second[i] = u, v
                            absorbed += z
                            other_absorbed += y
                            lost += fors[i] - z - s - t
                            other_lost += againsts[i] - y - u - v
                        to_bias[0, sample[o]] += absorbed
                        to_bias[1, sample[o]] += other_absorbed
                        unassigned[0, sample[o]] += lost
                        unassigned[1, sample[o]] += other_lost

        return share_pair_two

    return template


@kernel
def _at(x, o, m, i):  # type: ignore[no-untyped-def]
    """x[o, m, i], broadcast along axes of size 1."""
    return x[o * (x.shape[0] > 1), m * (x.shape[1] > 1), i * (x.shape[2] > 1)]


def share_terms_one(tag: str) -> Callable[..., Any]:
    """Template: any number of terms, one relevance channel."""

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
                    ((a, d, z),) = coefficients(p, n, _at(b, o, m, i), r[0][o, m, i])
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
                    bias, r_for, r_against = _at(b, o, m, i), r[0][o, m, i], r[1][o, m, i]
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
