"""Walks through time, step by step."""

from __future__ import annotations

from backtrace_onnx.kernels.jit import kernel


@kernel
def recur(f, a, before):  # type: ignore[no-untyped-def]
    """before[t + 1] = f[t] * before[t] + a[t], all [steps, batch, hidden]; before[0] is given."""
    for t in range(1, f.shape[0]):
        for b in range(f.shape[1]):
            for j in range(f.shape[2]):
                before[t, b, j] = f[t - 1, b, j] * before[t - 1, b, j] + a[t - 1, b, j]
