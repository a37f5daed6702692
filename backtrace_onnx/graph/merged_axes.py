"""Where the samples of a batch lie after a reshape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from backtrace_onnx.graph.graph import SampleAxis, Shape


def merge(before: Shape, axis: SampleAxis, after: Shape) -> SampleAxis | None:
    """Where samples lie after a reshape; None where that cannot be told.

    Element f of a tensor belongs to sample (f // stride) % samples, and a reshape keeps the stride.
    """
    if all(n == 1 for n in before[:axis]) and axis.inner == 0:
        first = next((i for i, n in enumerate(after) if n != 1), 0)
        own, then = _product(before[axis + 1 :]), _product(after[first + 1 :])
        if not axis.alone or own is None or then is None:
            return SampleAxis(first)
        whole = own % then == 0 if then else not own  # else a row holds parts of two samples
        return SampleAxis(first, alone=own == then, mixed=not whole)
    follow = before[axis + 1 :]
    if not all(isinstance(n, int) for n in follow):
        return None
    stride = prod(int(n) for n in follow if n is not None) * (axis.inner or 1)
    if sum(not isinstance(n, int) for n in after) > 1 or not (axis.inner or axis.alone):
        return None
    return _axis_of_stride(after, stride)


def meet(axes: Sequence[tuple[SampleAxis, int | None]], rank: int | None) -> SampleAxis | None:
    """Where samples lie in a sum or product, entry by entry, of operands of these ranks.

    Samples alone in the one and merged, one by one, in the other: both have as many entries along
    the axis, which so holds nothing but samples. None where it is not so.
    """
    places = {(axis - (own or 0), axis.inner, axis.alone) for axis, own in axes}
    kinds = {place[1:] for place in places}
    if rank is None or kinds != {(0, True), (1, False)} or len({p[0] for p in places}) > 1:
        return None
    return SampleAxis(rank + next(iter(places))[0], alone=True)


def _product(shape: Shape) -> int | None:
    """Number of elements; None where a size is open."""
    return prod(n for n in shape if isinstance(n, int)) if _closed(shape) else None


def _closed(shape: Shape) -> bool:
    return all(isinstance(n, int) for n in shape)


def _axis_of_stride(shape: Shape, stride: int) -> SampleAxis | None:
    """The axis in which neighbours `stride` elements apart lie, and their distance in it."""
    step = 1
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        if isinstance(size, int) and size and stride % (step * size) == 0 and axis:
            step *= size
            continue
        return SampleAxis(axis, stride // step) if stride % step == 0 else None
    return None


__all__ = ["meet", "merge"]
