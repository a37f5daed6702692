"""Applying a policy's scalar function to every unit, and weighing what is pulled back.

Units are laid out [outer, middle, inner]; a bias has size 1 along the axes it does not vary over.
`sample[outer]` is the sample an outer index belongs to. Relevance and coefficients are tuples of
arrays, one per channel; what is booked is float64[channels, samples].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtrace_onnx.kernels.channels import CHANNELS
from backtrace_onnx.kernels.jit import kernel, unbound

BLOCK = 1024
"""Units whose relevance is added up in their own precision, before it enters a float64 total."""

coefficients: Callable[..., Any] = unbound  # bound anew by kernels.jit.specialise


@kernel
def _part(x, o, m, begin, like):  # type: ignore[no-untyped-def]
    """Part of row [o, m] of x; anything where there is no x."""
    return like if x is None else x[o, m, begin : begin + BLOCK]


@kernel
def _channel(arrays, k):  # type: ignore[no-untyped-def]
    """Channel k, where there are any."""
    return None if arrays is None else arrays[k]


def share(tag: str, gated: bool) -> Callable[..., Any]:
    """Template: coefficients of all units; a gate shuts a side of what goes beyond its limits."""

    def share(p, n, b, r, low, high, sample, a_p, a_n, to_bias, unassigned):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        rs = to_p = to_n = given = absorbed = lost = CHANNELS
        zero = p.dtype.type(0)
        for o in range(p.shape[0]):
            for m in range(p.shape[1]):
                biases = b[o * (b.shape[0] > 1), m * (b.shape[1] > 1)]
                varies, fixed = biases.size > 1, biases[0]
                for begin in range(0, p.shape[2], BLOCK):
                    end = begin + BLOCK
                    ps, bs = p[o, m, begin:end], biases[begin * varies : begin * varies + BLOCK]
                    ns = _part(n, o, m, begin, ps)
                    for k in CHANNELS:
                        rs[k], to_p[k] = r[k][o, m, begin:end], a_p[k][o, m, begin:end]
                        to_n[k] = _part(_channel(a_n, k), o, m, begin, ps)
                        absorbed[k], lost[k] = zero, zero
                    for i in range(ps.size):
                        plus, bias = ps[i], bs[i] if varies else fixed
                        minus = zero if n is None else ns[i]
                        for k in CHANNELS:
                            given[k] = rs[k][i]
                        if gated:
                            t = plus - minus + bias
                            shut_p, shut_n = t < low, t > high
                            open_p, open_n = zero if shut_p else plus, zero if shut_n else minus
                            made = coefficients(open_p, open_n, bias, *given)
                        else:
                            made = coefficients(plus, minus, bias, *given)
                        for k in CHANNELS:
                            a, c, z = made[k]
                            if gated:
                                a, c = a * 0 if shut_p else a, c * 0 if shut_n else c
                            to_p[k][i] = a
                            absorbed[k] += z
                            if n is None:
                                lost[k] += given[k] - z - a * plus
                            else:
                                to_n[k][i] = c
                                lost[k] += given[k] - z - a * plus - c * minus
                    for k in CHANNELS:
                        to_bias[k, sample[o]] += absorbed[k]
                        unassigned[k, sample[o]] += lost[k]

    return share


@kernel
def weigh(x, g, absolute):  # type: ignore[no-untyped-def]
    """Multiply g by x, or by |x| if `absolute`; both are flat."""
    for i in range(x.size):
        g[i] *= abs(x[i]) if absolute else x[i]


@kernel
def weigh_split(x, g, h):  # type: ignore[no-untyped-def]
    """Set g to x+ g + x- h, x+ and x- being the magnitudes of the two signs of x; all are flat."""
    for i in range(x.size):
        g[i] = x[i] * g[i] if x[i] > 0 else -x[i] * h[i]


@kernel
def total(x, sample, out):  # type: ignore[no-untyped-def]
    """Add the sum of every row x[o, 0] to out[sample[o]], in float64."""
    for o in range(x.shape[0]):
        row = 0.0
        for i in range(x.shape[2]):
            row += x[o, 0, i]
        out[sample[o]] += row


@kernel
def total_of_products(x, x0, m, sample, out):  # type: ignore[no-untyped-def]
    """Add the sum of every row (x[o] - x0[o]) m[o] to out[sample[o]], float64; x0 may be None."""
    for o in range(x.shape[0]):
        row = 0.0
        for i in range(x.shape[1]):
            if x0 is None:
                row += x[o, i] * m[o, i]
            else:
                row += (x[o, i] - x0[o, i]) * m[o, i]
        out[sample[o]] += row


@kernel
def total_of_row(x, m):  # type: ignore[no-untyped-def]
    """The sum of x m in float64; both are flat."""
    row = 0.0
    for i in range(x.size):
        row += x[i] * m[i]
    return row


@kernel
def total_of_bias(b, m, sample, out):  # type: ignore[no-untyped-def]
    """Add the sum of b m[o] to out[sample[o]], in float64, for every outer index o."""
    for o in range(m.shape[0]):
        row = 0.0
        for j in range(m.shape[1]):
            biases = b[o * (b.shape[0] > 1), j * (b.shape[1] > 1)]
            of_bias = 0.0
            for i in range(m.shape[2]):
                of_bias += m[o, j, i] * (biases[i] if biases.size > 1 else 1)
            row += of_bias * (biases[0] if biases.size == 1 else 1)
        out[sample[o]] += row
