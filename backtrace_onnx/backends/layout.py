"""How the units of an operator lie in memory, for kernels that know three axes and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.kernels.threads import GRAIN, cut

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
FIRST = np.zeros(1, np.int64)
"""Of rows of the one sample: that."""
_SMALL, _MANY = 1 << 13, 256
"""Elements of what is kept, and how many."""


class Samples:
    """How many samples there are, and to which of them the rows of a tensor belong."""

    def __init__(self, count: int) -> None:
        self.count = count

    def rows(self, shape: Sequence[int], axis: int | None) -> tuple[int, Rows]:
        """(outer, sample[outer]): rows of a tensor flattened to [outer, inner] by sample.

        `axis` is the sample axis, a `SampleAxis` where samples are merged with something else.
        """
        inner = getattr(axis, "inner", 0)
        if self.count == 1 or axis is None or axis >= len(shape) or 0 in shape:
            return 1, np.zeros(1, np.int64)
        if shape[axis] % (self.count * max(inner, 1)):
            return 1, np.zeros(1, np.int64)
        before = prod(shape[:axis])
        of_axis = np.arange(shape[axis]) // (inner or shape[axis] // self.count or 1) % self.count
        return before * shape[axis], np.tile(of_axis, before)

    def of(self, shape: Sequence[int], axis: int | None, outer: int) -> Rows | None:
        """Sample of each of `outer` rows; None where the sample axis lies further in."""
        rows, sample = self.rows(shape, axis)
        if rows == 1:
            return np.zeros(outer, np.int64)
        return None if outer % rows else np.repeat(sample, outer // rows)

    def spread(self, totals: Array, shape: Sequence[int], axis: int | None) -> Array:
        """Totals per sample; what belongs to no one sample is booked to all alike."""
        if self.count > 1 and self.rows(shape, axis)[0] == 1:
            totals[..., :] = totals[..., :1] / self.count
        return totals


@dataclass(frozen=True)
class Units:
    """How the units of an operator lie: [outer, middle, inner].

    Attributes:
        bias: [1 or outer, 1 or middle, 1 or inner]; zero where there is none.
        sample: sample of every outer index.
    """

    outer: int
    middle: int
    inner: int
    bias: Array
    sample: Rows

    def lay(self, x: Array, dtype: np.dtype[Any]) -> Array:
        """An array of the units' shape, or broadcast to it, as [outer, middle, inner]."""
        plain = x.dtype == dtype and x.flags.c_contiguous
        flat = x if plain else np.ascontiguousarray(x, dtype)
        flat = flat.reshape(self.outer, self.middle, self.inner)
        return flat if flat.flags.writeable else flat.copy()  # one type for the kernels

    def empty(self, dtype: np.dtype[Any]) -> Array:
        """An array with room for one number per unit."""
        return np.empty((self.outer, self.middle, self.inner), dtype)

    def parts(self, step: int) -> list[Callable[[Any], Any]]:
        """Ways to cut tuples of arrays that are laid out as the units; rows at multiples of `step`.

        The first axis longer than 1 is cut, so that what is cut from contiguous arrays is so, too.
        """
        if self.outer * self.middle * self.inner < 2 * GRAIN:
            return _AT_ONCE
        sizes = (self.outer, self.middle, self.inner)
        axis = 0 if self.outer > 1 else 1 if self.middle > 1 else 2
        slices = cut(sizes[axis], prod(sizes), step if axis == 2 else 1)
        return [partial(_cut, axis, part) for part in slices] if len(slices) > 1 else [_whole]


def _whole(x: Any) -> Any:
    return x


_AT_ONCE: list[Callable[[Any], Any]] = [_whole]


def _cut(axis: int, part: slice, x: Any) -> Any:
    """A part of the units' arrays; a bias stays whole along an axis it does not vary over."""
    if isinstance(x, tuple):
        return tuple(_cut(axis, part, of) for of in x)
    if not isinstance(x, np.ndarray) or x.ndim <= axis:
        return x
    axis += max(x.ndim - 3, 0)  # several arrays stacked
    if x.shape[axis] == 1:
        return x
    return x[(slice(None),) * axis + (part,)]


class UnitLayouts:
    """How units lie that are met again: those of one shape and bias, with their samples alike."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Array | None, Units]] = {}

    def find(
        self,
        shape: Sequence[int],
        b: Array | None,
        dtype: np.dtype[Any],
        samples: Samples,
        axis: int | None,
    ) -> Units:
        """`lay_out` of these, kept where that takes little memory."""
        key = (tuple(shape), id(b), dtype, samples.count, axis, getattr(axis, "inner", 0))
        known = self._known.get(key)
        if known is not None:
            return known[1]
        units = lay_out(shape, b, dtype, samples, axis)
        if units.bias.size + units.sample.size <= _SMALL:
            if len(self._known) >= _MANY:  # biases that are made anew every time
                self._known.clear()
            self._known[key] = b, units  # the bias, so that no other array gets its id
        return units


def lay_out(
    shape: Sequence[int], b: Array | None, dtype: np.dtype[Any], samples: Samples, axis: int | None
) -> Units:
    """The units of an operator with output `shape`, bias `b` and sample axis `axis`.

    The outer index spans the axes before the first along which the bias varies. Where samples lie
    further in, every unit is an outer index; with a bias that varies, it is then laid out whole.
    """
    first, last = _varying(shape, b, 0 if axis is None else int(axis))
    sample = samples.of(shape, axis, prod(shape[:first]))
    if sample is None:
        first = last = len(shape)
        sample = samples.of(shape, axis, prod(shape))
    if sample is None:
        sample = np.zeros(prod(shape), np.int64)
    return _units(shape, b, dtype, sample, first, last)


def _varying(shape: Sequence[int], b: Array | None, axis: int) -> tuple[int, int]:
    """First and last + 1 axis along which the bias varies; if it does not, after the samples'."""
    full = () if b is None else (1,) * (len(shape) - b.ndim) + b.shape
    varying = [i for i, n in enumerate(full) if n > 1]
    if not varying:
        return min(axis + 1, len(shape)), min(axis + 1, len(shape))
    return varying[0], varying[-1] + 1


def _units(
    shape: Sequence[int], b: Array | None, dtype: np.dtype[Any], sample: Rows, first: int, last: int
) -> Units:
    outer, middle, inner = prod(shape[:first]), prod(shape[first:last]), prod(shape[last:])
    if b is None:
        return Units(outer, middle, inner, np.zeros((1, 1, 1), dtype), sample)
    full = b.reshape((1,) * (len(shape) - b.ndim) + b.shape)
    if any(n > 1 for n in full.shape[:first]):
        return Units(
            outer, 1, 1, np.broadcast_to(full, shape).astype(dtype).reshape(-1, 1, 1), sample
        )
    span = full.reshape(full.shape[first:last])
    if span.size != middle:
        span = np.broadcast_to(span, shape[first:last])
    bias = np.array(span, dtype)  # writeable: one type for the kernels
    if inner == 1:
        return Units(outer, 1, middle, bias.reshape(1, 1, -1), sample)
    return Units(outer, middle, inner, bias.reshape(1, -1, 1), sample)


@lru_cache
def reach(
    sizes: tuple[int, ...],
    counts: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    first: tuple[int, ...],
) -> tuple[Rows, Rows]:
    """Where the elements of windows are in a flat [depth, height, width] array of `sizes`.

    Offsets along each axis: int64[3, windows, 2], first and last + 1 of a window, of which there
    are `counts`; and between its elements, int64[3]. `first` is the padding before.
    """
    flat = (sizes[1] * sizes[2], sizes[2], 1)
    ends = np.zeros((3, max(counts), 2), np.int64)
    for axis, dilation in enumerate(dilations):
        begin = np.arange(counts[axis]) * strides[axis] - first[axis]
        end = np.minimum(begin + kernel[axis] * dilation, sizes[axis])
        begin += np.maximum(0, dilation - 1 - begin) // dilation * dilation
        ends[axis, : counts[axis]] = np.stack([begin, end], 1) * flat[axis]
    return ends, np.multiply(dilations, flat, dtype=np.int64)


def spread_out(x: Array, shape: Sequence[int]) -> Array:
    """x broadcast to `shape`; x itself where it has it, for a broadcast array cannot be written."""
    return x if x.shape == shape else np.broadcast_to(x, shape)
