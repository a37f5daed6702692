"""Recurrent cells backwards: relevance of the states after every step, step by step.

Arrays are [steps, batch, width]; relevance is a pair of them (kernels.channels).

`r_h`, `r_c` [1, batch, hidden]: at first the last states' relevance, in the end that of the states
before the first step. `out_h`, `out_c`: at first what the outputs of every step bring, in the end
the relevance of the states after every step. `valid` [steps, batch, 1]: 0 behind a sequence's end.
`masses`: (p, n, bias) of the state's product; n counts for the reading "split" only. The weight
comes as `reading`, an index of policies.Reading, asks: its magnitude for "absolute".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtrace_onnx.kernels import channels
from backtrace_onnx.kernels.channels import at, half, nothing, plus, put, unless_none
from backtrace_onnx.kernels.jit import kernel

share: Callable[..., Any] = channels.share  # these three are bound anew to a policy's
alone: Callable[..., Any] = channels.alone
unit: Callable[..., Any] = channels.unit


@kernel
def recur(f, a, before):  # type: ignore[no-untyped-def]
    """before[t + 1] = f[t] * before[t] + a[t], all [steps, batch, hidden]; before[0] is given."""
    for t in range(1, f.shape[0]):
        for b in range(f.shape[1]):
            for j in range(f.shape[2]):
                before[t, b, j] = f[t - 1, b, j] * before[t - 1, b, j] + a[t - 1, b, j]


@kernel
def _pull_split(r, a_p, a_n, weight, x):  # type: ignore[no-untyped-def]
    for k in range(weight.shape[0]):
        positive, negative = a_p[k], -a_n[k]
        if positive != 0 or negative != 0:
            for j in range(r.size):
                c = weight[k, j] * x[j]
                r[j] += c * (positive if c > 0 else negative)


@kernel
def _pull_whole(r, a, weight, x, reading):  # type: ignore[no-untyped-def]
    pulled = np.zeros(r.size, r.dtype)
    fours = weight.shape[0] // 4 * 4
    for k in range(0, fours, 4):
        first, second, third, fourth = a[k], a[k + 1], a[k + 2], a[k + 3]
        for j in range(r.size):
            pulled[j] += (
                first * weight[k, j]
                + second * weight[k + 1, j]
                + third * weight[k + 2, j]
                + fourth * weight[k + 3, j]
            )
    for k in range(fours, weight.shape[0]):
        for j in range(r.size):
            pulled[j] += a[k] * weight[k, j]
    for j in range(r.size):
        r[j] += pulled[j] * (abs(x[j]) if reading == 0 else x[j])


def _pulled(r, a_p, a_n, weight, x, reading, b):  # type: ignore[no-untyped-def]
    if reading == 2:
        _pull_split(r[0, b], a_p[0, b], a_n[0, b], weight, x)
    else:
        _pull_whole(r[0, b], a_p[0, b], weight, x, reading)


_pull_one = unless_none(_pulled, lambda r, a_p, a_n, weight, x, reading, b: None)


@kernel
def _pull(r, a_p, a_n, weight, x, reading, b):  # type: ignore[no-untyped-def]
    """r[b] += what a state x [hidden] is sent through its product with the weight."""
    _pull_one(r[0], a_p[0], a_n[0], weight, x, reading, b)
    _pull_one(r[1], a_p[1], a_n[1], weight, x, reading, b)


def lstm(tag: str) -> Callable[..., Any]:
    """Template: the long short-term memory without peepholes."""

    def lstm(r_h, r_c, v, masses, weight, reading, valid, a_p, a_n, out_h, out_c):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        x, state, kept, made, before = v
        hidden = before.shape[2]
        for t in range(before.shape[0] - 1, -1, -1):
            for b in range(before.shape[1]):
                if valid[t, b, 0] == 0:
                    continue
                for j in range(hidden):
                    h, c = plus(at(out_h, t, b, j), at(r_h, 0, b, j)), at(r_c, 0, b, j)
                    put(out_h, t, b, j, h)
                    put(out_c, t, b, j, c)
                    r_o = half(h)
                    memory = plus(c, r_o)
                    r_kept, r_made = share(reading, kept[t, b, j], made[t, b, j], memory)
                    r_f, r_i, k = half(r_kept), half(r_made), j
                    put(r_h, 0, b, j, nothing(h))
                    put(r_c, 0, b, j, r_f)
                    for r in (r_i, r_o, r_f, r_i):
                        _, r_state = share(reading, x[t, b, k], state[t, b, k], r)
                        unit(reading, masses, t, b, k, r_state, a_p, a_n)
                        k += hidden
                _pull(r_h, a_p, a_n, weight, before[t, b], reading, b)

    return lstm


def rnn(tag: str) -> Callable[..., Any]:
    """Template: the simple recurrent cell."""

    def rnn(r_h, v, masses, weight, reading, valid, a_p, a_n, out_h):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        x, state, before = v
        for t in range(before.shape[0] - 1, -1, -1):
            for b in range(before.shape[1]):
                if valid[t, b, 0] == 0:
                    continue
                for j in range(before.shape[2]):
                    h = plus(at(out_h, t, b, j), at(r_h, 0, b, j))
                    put(out_h, t, b, j, h)
                    put(r_h, 0, b, j, nothing(h))
                    _, r_state = share(reading, x[t, b, j], state[t, b, j], h)
                    unit(reading, masses, t, b, j, r_state, a_p, a_n)
                _pull(r_h, a_p, a_n, weight, before[t, b], reading, b)

    return rnn


def gru_after(tag: str) -> Callable[..., Any]:
    """Template: the gated recurrent unit whose reset gate acts after the state's product."""

    def gru_after(r_h, v, masses, weight, reading, valid, a_p, a_n, out_h):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        x, state, x_new, gated, z, new, kept, before = v
        hidden, one = before.shape[2], before.dtype.type(1)
        for t in range(before.shape[0] - 1, -1, -1):
            for b in range(before.shape[1]):
                if valid[t, b, 0] == 0:
                    continue
                for j in range(hidden):
                    h = plus(at(out_h, t, b, j), at(r_h, 0, b, j))
                    put(out_h, t, b, j, h)
                    r_new, r_kept = share(reading, new[t, b, j], kept[t, b, j], h)
                    r_n, r_old = half(r_new), half(r_kept)
                    put(r_h, 0, b, j, r_old)
                    r_z = plus(r_old, alone(reading, -z[t, b, j], one, r_n))
                    _, r_gated = share(reading, x_new[t, b, j], gated[t, b, j], r_n)
                    r_reset, k = half(r_gated), j
                    for r in (r_z, r_reset):
                        _, r_state = share(reading, x[t, b, k], state[t, b, k], r)
                        unit(reading, masses, t, b, k, r_state, a_p, a_n)
                        k += hidden
                    unit(reading, masses, t, b, k, r_reset, a_p, a_n)
                _pull(r_h, a_p, a_n, weight, before[t, b], reading, b)

    return gru_after


def gru(tag: str) -> Callable[..., Any]:
    """Template: the gated recurrent unit whose reset gate acts on the state.

    `inner` is (x, masses, weight, aP, aN) of the product with what the gate lets through; `r_in`
    and `r_z` are room for one step.
    """

    def gru(r_h, v, masses, weight, inner, r_in, r_z, reading, valid, a_p, a_n, out_h):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        x, state, x_new, gated, z, new, kept, before = v
        inner_x, inner_masses, inner_weight, inner_p, inner_n = inner
        hidden, one = before.shape[2], before.dtype.type(1)
        for t in range(before.shape[0] - 1, -1, -1):
            for b in range(before.shape[1]):
                if valid[t, b, 0] == 0:
                    continue
                for j in range(hidden):
                    h = plus(at(out_h, t, b, j), at(r_h, 0, b, j))
                    put(out_h, t, b, j, h)
                    r_new, r_kept = share(reading, new[t, b, j], kept[t, b, j], h)
                    r_n, r_old = half(r_new), half(r_kept)
                    put(r_h, 0, b, j, r_old)
                    put(r_in, 0, b, j, nothing(h))
                    to_z = alone(reading, -z[t, b, j], one, r_n)
                    put(r_z, 0, b, j, plus(r_old, to_z))
                    _, r_gated = share(reading, x_new[t, b, j], gated[t, b, j], r_n)
                    unit(reading, inner_masses, t, b, j, r_gated, inner_p, inner_n)
                _pull(r_in, inner_p, inner_n, inner_weight, inner_x[t, b], reading, b)
                for j in range(hidden):
                    r_reset, k = half(at(r_in, 0, b, j)), j
                    put(r_h, 0, b, j, plus(at(r_h, 0, b, j), r_reset))
                    for r in (at(r_z, 0, b, j), r_reset):
                        _, r_state = share(reading, x[t, b, k], state[t, b, k], r)
                        unit(reading, masses, t, b, k, r_state, a_p, a_n)
                        k += hidden
                _pull(r_h, a_p, a_n, weight, before[t, b], reading, b)

    return gru
