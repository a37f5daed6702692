"""Loops that follow elements back: adding at indices, sharing among the elements that won."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.kernels.jit import exact_kernel, kernel


@kernel
def scatter_add(r, index, sample, out, lost):  # type: ignore[no-untyped-def]
    """out[index] += r for r, index [outer, inner]; where index < 0, lost[sample[outer]] += r."""
    for o in range(r.shape[0]):
        for i in range(r.shape[1]):
            at = index[o, i]
            if at >= 0:
                out[at] += r[o, i]
            else:
                lost[sample[o]] += r[o, i]


@kernel
def split_ties(x, best, r, out):  # type: ignore[no-untyped-def]
    """Share r equally among the elements of x that equal `best`; out[outer, over, inner] is all
    set.

    x[outer, over, inner]; best, r [outer, inner].
    """
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            count = 0
            for k in range(x.shape[1]):
                if x[o, k, i] == best[o, i]:
                    count += 1
            for k in range(x.shape[1]):
                out[o, k, i] = r[o, i] / count if x[o, k, i] == best[o, i] else 0


@kernel
def split_windows(x, out, best, r, reach, steps):  # type: ignore[no-untyped-def]
    """Add to out what the elements of each window of x that equal `best` get of r, equal shares.

    x, out [channels, elements]; best, r [channels, *windows], of three axes; `reach` and `steps`
    say where the elements of a window are (`backends.layout.reach`).
    """
    places = np.empty(x.shape[1], np.int64)
    for c in range(r.shape[0]):
        for a in range(r.shape[1]):
            for b in range(r.shape[2]):
                for d in range(r.shape[3]):
                    count = 0
                    for z in range(reach[0, a, 0], reach[0, a, 1], steps[0]):
                        for y in range(reach[1, b, 0], reach[1, b, 1], steps[1]):
                            for w in range(reach[2, d, 0], reach[2, d, 1], steps[2]):
                                at = z + y + w
                                places[count] = at  # kept if counted: a branch costs more
                                count += x[c, at] == best[c, a, b, d]
                    for i in range(count):
                        out[c, places[i]] += r[c, a, b, d] / count


@exact_kernel
def split_lines(x0, x, out, r, reach, steps):  # type: ignore[no-untyped-def]
    """Add to out what the elements of each window get of r: by the part of the way from x0 to x on
    which each is the largest. Elements that are alike all the way share equally.

    Arrays, `reach` and `steps` are as of `split_windows`. From the largest at the beginning, it
    goes from one crossing of two lines to the next; each line is steeper than the one before.
    """
    places = np.empty(x.shape[1], np.int64)
    for c in range(r.shape[0]):
        for a in range(r.shape[1]):
            for b in range(r.shape[2]):
                for d in range(r.shape[3]):
                    count = 0
                    for z in range(reach[0, a, 0], reach[0, a, 1], steps[0]):
                        for y in range(reach[1, b, 0], reach[1, b, 1], steps[1]):
                            for w in range(reach[2, d, 0], reach[2, d, 1], steps[2]):
                                places[count] = z + y + w
                                count += 1
                    if count:
                        _split_line(x0[c], x[c], out[c], r[c, a, b, d], places[:count])


@exact_kernel
def _split_line(x0, x, out, r, places):  # type: ignore[no-untyped-def]
    """One window's elements, which lie at `places`."""
    best = places[0]
    for at in places:
        if x0[at] > x0[best] or (x0[at] == x0[best] and x[at] > x[best]):
            best = at
    gone = 0.0
    while gone < 1.0:
        begin = np.float64(x0[best])
        rise = np.float64(x[best]) - begin
        crossing, following, steepest = 1.0, -1, rise
        for at in places:
            more = np.float64(x[at]) - np.float64(x0[at])
            if more > rise:
                meets = (begin - x0[at]) / (more - rise)
                if meets < crossing or (meets == crossing and following >= 0 and more > steepest):
                    crossing, following, steepest = meets, at, more
        crossing = max(crossing, gone)
        alike = 0
        for at in places:
            alike += x0[at] == x0[best] and x[at] == x[best]
        for at in places:
            if x0[at] == x0[best] and x[at] == x[best]:
                out[at] += r * ((crossing - gone) / alike)
        if following < 0:
            break
        gone, best = crossing, following


@kernel
def split_regions(x, r, batch, rows, columns, out):  # type: ignore[no-untyped-def]
    """Add to out what the largest elements of every bin get of r, in equal shares.

    r[regions, channels, height, width]; x, out [samples, channels, rows, columns]; batch
    int64[regions]; rows int64[2, regions, height] and columns int64[2, regions, width]: first and
    last + 1 of a bin.
    """
    for k in range(r.shape[0]):
        for c in range(r.shape[1]):
            here, to = x[batch[k], c], out[batch[k], c]
            for a in range(r.shape[2]):
                for b in range(r.shape[3]):
                    count = 0
                    top = here[0, 0]
                    for i in range(rows[0, k, a], rows[1, k, a]):
                        for j in range(columns[0, k, b], columns[1, k, b]):
                            if count == 0 or here[i, j] > top:
                                top, count = here[i, j], 1
                            elif here[i, j] == top:
                                count += 1
                    for i in range(rows[0, k, a], rows[1, k, a]):
                        for j in range(columns[0, k, b], columns[1, k, b]):
                            if here[i, j] == top:
                                to[i, j] += r[k, c, a, b] / count
