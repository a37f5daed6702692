"""Applying a policy's scalar function to every unit, and weighing what is pulled back.

Units are laid out [outer, middle, inner]; a bias has size 1 along the axes it does not vary over.
`sample[outer]` is the sample an outer index belongs to. Relevance and coefficients are tuples of
arrays, one per channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtrace_onnx.kernels.jit import kernel, unbound

BLOCK = 1024
"""Units whose relevance is added up in their own precision, before it enters a float64 total."""

coefficients: Callable[..., Any] = unbound  # bound anew by kernels.jit.specialise


@kernel
def _part(x, o, m, begin, like):  # type: ignore[no-untyped-def]
    """Part of row [o, m] of x; anything where there is no x."""
    return like if x is None else x[o, m, begin : begin + BLOCK]


@kernel
def _channel(pair, k):  # type: ignore[no-untyped-def]
    """Channel k, where there are any."""
    return None if pair is None else pair[k]


def share_one(tag: str) -> Callable[..., Any]:
    """Template: one relevance channel."""

    def share_one(p, n, b, r, low, high, sample, a_p, a_n, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = p.dtype.type(0)
        for o in range(p.shape[0]):
            for m in range(p.shape[1]):
                biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                varies, fixed = biases.size > 1, biases[0]
                for begin in range(0, p.shape[2], BLOCK):
                    end = begin + BLOCK
                    ps, rs, out = p[o, m, begin:end], r[0][o, m, begin:end], a_p[0][o, m, begin:end]
                    ns = _part(n, o, m, begin, ps)
                    out_n = _part(_channel(a_n, 0), o, m, begin, ps)
                    bs = biases[begin * varies : begin * varies + BLOCK]
                    absorbed, lost = zero, zero
                    for i in range(ps.size):
                        plus, bias = ps[i], bs[i] if varies else fixed
                        if n is None:
                            ((a, c, z),) = coefficients(plus, zero, bias, rs[i])
                            lost += rs[i] - z - a * plus
                        else:
                            minus = ns[i]
                            t = plus - minus + bias
                            shut_p, shut_n = t < low, t > high
                            open_p, open_n = zero if shut_p else plus, zero if shut_n else minus
                            ((a, c, z),) = coefficients(open_p, open_n, bias, rs[i])
                            a, c = a * 0 if shut_p else a, c * 0 if shut_n else c
                            out_n[i] = c
                            lost += rs[i] - z - a * plus - c * minus
                        out[i] = a
                        absorbed += z
                    to_bias[0, sample[o]] += absorbed
                    unassigned[0, sample[o]] += lost

    return share_one


def share_two(tag: str) -> Callable[..., Any]:
    """Template: two relevance channels, where no gate follows."""

    def share_two(p, n, b, r, low, high, sample, a_p, a_n, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = p.dtype.type(0)
        for o in range(p.shape[0]):
            for m in range(p.shape[1]):
                biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                varies, fixed = biases.size > 1, biases[0]
                for begin in range(0, p.shape[2], BLOCK):
                    end = begin + BLOCK
                    ps, bs = p[o, m, begin:end], biases[begin * varies : begin * varies + BLOCK]
                    fors, againsts = r[0][o, m, begin:end], r[1][o, m, begin:end]
                    out_p, out_d = a_p[0][o, m, begin:end], a_p[1][o, m, begin:end]
                    ns = _part(n, o, m, begin, ps)
                    out_n = _part(_channel(a_n, 0), o, m, begin, ps)
                    out_e = _part(_channel(a_n, 1), o, m, begin, ps)
                    absorbed, lost, other_absorbed, other_lost = zero, zero, zero, zero
                    for i in range(ps.size):
                        plus, bias = ps[i], bs[i] if varies else fixed
                        minus = zero if n is None else ns[i]
                        (a, c, z), (d, e, y) = coefficients(plus, minus, bias, fors[i], againsts[i])
                        out_p[i], out_d[i] = a, d
                        if n is not None:
                            out_n[i], out_e[i] = c, e
                        absorbed += z
                        other_absorbed += y
                        lost += fors[i] - z - a * plus - c * minus
                        other_lost += againsts[i] - y - d * plus - e * minus
                    to_bias[0, sample[o]] += absorbed
                    to_bias[1, sample[o]] += other_absorbed
                    unassigned[0, sample[o]] += lost
                    unassigned[1, sample[o]] += other_lost

    return share_two


def share_two_gated(tag: str) -> Callable[..., Any]:
    """Template: two relevance channels; a gate shuts a side of both."""

    def share_two_gated(p, n, b, r, low, high, sample, a_p, a_n, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        zero = p.dtype.type(0)
        for o in range(p.shape[0]):
            for m in range(p.shape[1]):
                biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                varies, fixed = biases.size > 1, biases[0]
                for begin in range(0, p.shape[2], BLOCK):
                    end = begin + BLOCK
                    ps, bs = p[o, m, begin:end], biases[begin * varies : begin * varies + BLOCK]
                    fors, againsts = r[0][o, m, begin:end], r[1][o, m, begin:end]
                    out_p, out_d = a_p[0][o, m, begin:end], a_p[1][o, m, begin:end]
                    ns = _part(n, o, m, begin, ps)
                    out_n = _part(_channel(a_n, 0), o, m, begin, ps)
                    out_e = _part(_channel(a_n, 1), o, m, begin, ps)
                    absorbed, lost, other_absorbed, other_lost = zero, zero, zero, zero
                    for i in range(ps.size):
                        plus, bias = ps[i], bs[i] if varies else fixed
                        minus = zero if n is None else ns[i]
                        t = plus - minus + bias
                        shut_p, shut_n = t < low, t > high
                        open_p, open_n = zero if shut_p else plus, zero if shut_n else minus
                        (a, c, z), (d, e, y) = coefficients(
                            open_p, open_n, bias, fors[i], againsts[i]
                        )
                        a, d = a * 0 if shut_p else a, d * 0 if shut_p else d
                        c, e = c * 0 if shut_n else c, e * 0 if shut_n else e
                        out_p[i], out_d[i] = a, d
                        if n is not None:
                            out_n[i], out_e[i] = c, e
                        absorbed += z
                        other_absorbed += y
                        lost += fors[i] - z - a * plus - c * minus
                        other_lost += againsts[i] - y - d * plus - e * minus
                    to_bias[0, sample[o]] += absorbed
                    to_bias[1, sample[o]] += other_absorbed
                    unassigned[0, sample[o]] += lost
                    unassigned[1, sample[o]] += other_lost

    return share_two_gated


def template(channels: int, gated: bool) -> Callable[[str], Callable[..., Any]]:
    """The loop for so many channels."""
    if channels == 1:
        return share_one
    return share_two_gated if gated else share_two


@kernel
def weigh(x, g, absolute):  # type: ignore[no-untyped-def]
    """g *= x, or |x|, flat."""
    for i in range(x.size):
        g[i] *= abs(x[i]) if absolute else x[i]


@kernel
def weigh_split(x, g, h):  # type: ignore[no-untyped-def]
    """g = x+ * g + x- * h, flat."""
    for i in range(x.size):
        g[i] = x[i] * g[i] if x[i] > 0 else -x[i] * h[i]


@kernel
def total(x, sample, out):  # type: ignore[no-untyped-def]
    """out[sample[o]] += sum of row o of x[outer, 1, inner], in float64."""
    for o in range(x.shape[0]):
        row = 0.0
        for i in range(x.shape[2]):
            row += x[o, 0, i]
        out[sample[o]] += row
