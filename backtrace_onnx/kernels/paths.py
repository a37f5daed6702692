"""Adding up what paths change."""

from __future__ import annotations

from backtrace_onnx.kernels.jit import kernel


@kernel
def add_rows(rows, slots, changes, targets, out):  # type: ignore[no-untyped-def]
    """out[n, slots[row], targets[t]] += changes[row] for row = rows[n, t].

    rows [samples, trees], slots [rows, asked], changes [rows, asked, votes],
    targets [trees, votes].
    """
    for n in range(rows.shape[0]):
        for t in range(rows.shape[1]):
            row = rows[n, t]
            for d in range(slots.shape[1]):
                for k in range(changes.shape[2]):
                    out[n, slots[row, d], targets[t, k]] += changes[row, d, k]


@kernel
def add_shares(rows, slots, changes, targets, shares, out):  # type: ignore[no-untyped-def]
    """The same, with what a tree's votes change weighed by shares[samples, trees, votes]."""
    for n in range(rows.shape[0]):
        for t in range(rows.shape[1]):
            row = rows[n, t]
            for d in range(slots.shape[1]):
                for k in range(changes.shape[2]):
                    out[n, slots[row, d], targets[t, k]] += changes[row, d, k] * shares[n, t, k]
