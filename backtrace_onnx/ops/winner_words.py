"""Words for maxima: named passes that hand on what the largest elements are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.tree_words import TreeWords
from backtrace_onnx.ops.words import Value, ints

if TYPE_CHECKING:
    from backtrace_onnx.ops.windows import Window


class WinnerWords(TreeWords):
    """What is asked of maxima; the eager backend has kernels for it."""

    def either(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """`yes()` where the condition, one boolean, holds, else `no()`; only that is computed."""
        raise NotImplementedError

    def split_ties(self, x: Value, best: Value, r: Value, axes: Sequence[int] | None) -> Value:
        """Share r equally among the elements of x that equal `best` along `axes`.

        `best` and r have size 1 along these axes. Axes None: those along which `best` has size 1.
        """
        wins = self.Cast(self.Equal(x, best), to=self.float_type)
        if axes is None:
            count = self.unbroadcast(wins, self.shape(best))
        else:
            count = self.ReduceSum(wins, ints(*axes), keepdims=1)
        return self.Mul(wins, self.Div(r, self.Max(count, self.scalar(1))))

    def split_windows(self, x: Value, best: Value, r: Value, window: Window) -> Value:
        """Share r equally among the elements of each window of x[samples, channels, ...] equal to
        `best`.

        The windows are read out, and added back, by convolutions whose kernels pick one element.
        """
        read = self._read(x, best, window)
        wins = self.Cast(self.Equal(read, window.each_channel(self, best)), to=self.float_type)
        count = self.Max(self.ReduceSum(wins, ints(1), keepdims=1), self.scalar(1))
        shared = self.Mul(wins, self.Div(window.each_channel(self, r), count))
        return self._added_back(shared, x, best, window)

    def split_lines(
        self, x: Value, x0: Value, r: Value, window: Window, highest: Callable[[Value], Value]
    ) -> Value:
        """Share r among the elements of each window, by the part of the line from x0 to x on which
        each of them is the largest: exactly the mean of what `split_windows` does there.

        `highest`: the maximum of every window. Where no window of x0 tells its elements apart, the
        largest of x is so on the whole line.
        """
        spread = self.Add(highest(x0), highest(self.Neg(x0)))
        alike = self.LessOrEqual(self.ReduceMax(spread, keepdims=0), self.zero())
        shape = self.shape(x)

        def one() -> Value:
            return self.split_windows(x, highest(x), r, window)

        def several() -> Value:
            begin, end = self._read(x0, r, window), self._read(x, r, window)
            wins = self._parts_of_lines(begin, end, int(np.prod(window.kernel)))
            shared = self.Mul(wins, window.each_channel(self, r))
            return self._added_back(shared, x, r, window)

        return self.Reshape(self.either(alike, one, several), shape)

    def split_operands(
        self, ends: Sequence[tuple[Value, Value]], r: Value, *, lowest: bool
    ) -> list[Value]:
        """Share r, entry by entry, among operands that go from x0 to x, `ends` being (x, x0) of
        each, by the part of the way on which it is the largest, or the smallest, of them."""
        shape, flat = self.shape(r), ints(1, 1, -1)
        start, end = (
            self.Concat(*(self.Reshape(self.Expand(own[i], shape), flat) for own in ends), axis=1)
            for i in (1, 0)
        )
        wins = self._parts(start, end, len(ends), lowest=lowest)
        parts = self.split(wins, [ints(1)] * len(ends), 1)
        return [self.Mul(self.Reshape(part, shape), r) for part in parts]

    def split_reduced(
        self,
        x: Value,
        x0: Value,
        r: Value,
        axes: Sequence[int],
        rank: int,
        places: int,
        *,
        lowest: bool,
    ) -> Value:
        """The same among the elements of x[rank axes] along some axes, which are `places` together;
        r has size 1 there."""
        perm = [*(i for i in range(rank) if i not in axes), *axes]
        end, start = (self.Transpose(own, perm=perm) for own in (x, x0))
        a, b = (self.Reshape(own, ints(-1, places)) for own in (start, end))
        wins = self.Reshape(self._parts(a, b, places, lowest=lowest), self.shape(end))
        return self.Mul(self.Transpose(wins, perm=[perm.index(i) for i in range(rank)]), r)

    def _parts(self, a: Value, b: Value, places: int, *, lowest: bool) -> Value:
        ends = (self.Neg(a), self.Neg(b)) if lowest else (a, b)
        return self._parts_of_lines(*ends, places)

    def _parts_of_lines(self, a: Value, b: Value, places: int) -> Value:
        """For elements [., places, *windows] that go from a to b: on which part of the way each is
        the largest of its window. Elements that are alike all the way share that.

        Two lines cross where one has come f = (d0+ + d1+) / (|d0| + |d1|) of the way, d0 and d1
        being their distances at both ends.
        """
        one, zero, least = self.scalar(1), self.zero(), self.scalar(SMALLEST_MASS)
        over, sizes = ints(1), [ints(1)] * places
        found = []
        for own_a, own_b in zip(self.split(a, sizes, 1), self.split(b, sizes, 1), strict=True):
            d0, d1 = self.Sub(own_a, a), self.Sub(own_b, b)
            size = self.Add(self.Abs(d0), self.Abs(d1))
            f = self.Div(self.Add(self.Relu(d0), self.Relu(d1)), self.Max(size, least))
            ends = self.Where(self.Less(d1, zero), f, one)
            begins = self.Where(self.Less(d0, zero), self.Sub(one, f), zero)
            last = self.ReduceMin(ends, over, keepdims=1)
            first = self.ReduceMax(begins, over, keepdims=1)
            alike = self.Cast(self.Less(size, least), to=self.float_type)  # itself among them
            count = self.ReduceSum(alike, over, keepdims=1)
            found.append(self.Div(self.Relu(self.Sub(last, first)), count))
        return self.Concat(*found, axis=1)

    def _read(self, x: Value, made: Value, window: Window) -> Value:
        """The elements of every window, [samples * channels, places, *windows]; `made` is shaped
        like the windows."""
        before, after = window.exact_pads(self, self.shape(x), self.shape(made))
        lowest = self.scalar(float(np.finfo(self.dtype).min) / 4)  # differences stay finite
        padded = window.padded(self, window.each_channel(self, x), before, after, lowest)
        return self.Conv(padded, self._pick(window), **window.steps)

    def _added_back(self, shared: Value, x: Value, made: Value, window: Window) -> Value:
        """What the elements of windows have, added where they lie in x."""
        shape = self.shape(x)
        before, after = window.exact_pads(self, shape, self.shape(made))
        back = self.ConvTranspose(shared, self._pick(window), **window.steps)
        return self.Reshape(window.cut(self, back, before, after), shape)

    def _pick(self, window: Window) -> Value:
        places = int(np.prod(window.kernel))
        return np.eye(places, dtype=self.dtype).reshape(places, 1, *window.kernel)

    def split_regions(self, x: Value, r: Value, batch: Value, rows: Value, columns: Value) -> Value:
        """Share r[regions, channels, *bins] equally among the largest elements of every bin of x.

        Region k lies in x[batch[k]]; rows, columns int64[2, regions, bins along the axis] are the
        first and the last + 1 of a bin. The relevance of empty bins is left out.
        """
        raise self.only_eager("sharing among the maxima of regions")
