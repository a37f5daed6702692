"""Slopes damped where units are next to 0 (LRP-epsilon).

Units are laid out [outer, inner]; `sample[outer]` is the sample that a row belongs to.
"""

from __future__ import annotations

from backtrace_onnx.kernels.jit import kernel


@kernel
def add_squares(t, sample, sums):  # type: ignore[no-untyped-def]
    """Add the squares of every row to sums[sample], float64: the same beside any other rows."""
    for o in range(t.shape[0]):
        row = 0.0
        for i in range(t.shape[1]):
            row += float(t[o, i]) * float(t[o, i])
        sums[sample[o]] += row


@kernel
def damp(t, m, sample, least, kept):  # type: ignore[no-untyped-def]
    """Set kept to m |t| / (|t| + least[sample])."""
    for o in range(t.shape[0]):
        small = least[sample[o]]
        for i in range(t.shape[1]):
            size = abs(t[o, i])
            kept[o, i] = m[o, i] * (size / (size + small))


@kernel
def add_lost(t, m, kept, sample, lost):  # type: ignore[no-untyped-def]
    """Add what t is worth less by `kept` than by m to lost[sample], float64."""
    for o in range(t.shape[0]):
        row = 0.0
        for i in range(t.shape[1]):
            row += t[o, i] * (m[o, i] - kept[o, i])
        lost[sample[o]] += row
