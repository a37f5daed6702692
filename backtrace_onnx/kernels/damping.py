"""Slopes damped where units are next to 0 (LRP-epsilon), or cut where they are 0 (ReLU).

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
def damp(t, m, sample, least, of, kept, lost):  # type: ignore[no-untyped-def]
    """Set kept to m |t| / (|t| + least[sample]); add what t is worth less to lost[of], float64."""
    for o in range(t.shape[0]):
        small, row = least[sample[o]], 0.0
        for i in range(t.shape[1]):
            size = abs(t[o, i])
            made = m[o, i] * (size / (size + small))
            kept[o, i] = made
            row += t[o, i] * (m[o, i] - made)
        lost[of[o]] += row


@kernel
def switch(y, m, out):  # type: ignore[no-untyped-def]
    """Set out to m where y is positive, else to 0; all are flat."""
    for i in range(y.size):
        out[i] = m[i] if y[i] > 0 else 0
