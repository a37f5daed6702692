"""Adding up, by feature and unit, what the paths through decision trees change."""

from __future__ import annotations

from backtrace_onnx.kernels.jit import kernel

_CACHED = 65536  # sums that stay in a core's cache while tree after tree adds to them


@kernel
def add_rows(rows, slots, changes, targets, out):  # type: ignore[no-untyped-def]
    """out[n, slots[row], targets[t]] += changes[row] for row = rows[n, t].

    rows [samples, trees], slots [rows, asked] up to the first negative one, changes
    [rows, asked, votes], targets [trees, votes]. Trees are taken one after another, each for as
    many samples as fit a cache.
    """
    block = max(1, _CACHED // max(1, out.shape[1] * out.shape[2]))
    for first in range(0, rows.shape[0], block):
        for t in range(rows.shape[1]):
            for n in range(first, min(first + block, rows.shape[0])):
                row = rows[n, t]
                for d in range(slots.shape[1]):
                    slot = slots[row, d]
                    if slot < 0:
                        break
                    for k in range(changes.shape[2]):
                        out[n, slot, targets[t, k]] += changes[row, d, k]


@kernel
def add_shares(rows, slots, changes, targets, shares, out):  # type: ignore[no-untyped-def]
    """The same as `add_rows`, with every change weighed by shares[samples, trees, votes]."""
    for n in range(rows.shape[0]):
        for t in range(rows.shape[1]):
            row = rows[n, t]
            for d in range(slots.shape[1]):
                slot = slots[row, d]
                if slot < 0:
                    break
                for k in range(changes.shape[2]):
                    out[n, slot, targets[t, k]] += changes[row, d, k] * shares[n, t, k]
