"""The words for slopes, computed by kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.backends import damping
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.products import Products
from backtrace_onnx.backends.winner_kernels import WinnerKernels
from backtrace_onnx.ops.vocabulary import Value


class SlopeKernels(WinnerKernels):
    """What the eager backend has where slopes travel."""

    samples: Samples

    def worth(self, x: Value, m: Value, before: Value | None = None) -> Value:
        x, m = self.array(x), self.array(m)
        others = () if before is None else (before := self.array(before),)
        if x.dtype == m.dtype == self.dtype and all(a.dtype == m.dtype for a in others):
            if x.shape == m.shape and all(a.shape == m.shape for a in others):
                return Products(x, m, before)
            if not others and np.broadcast_shapes(x.shape, m.shape) == m.shape:
                return Products(x, m)
        return super().worth(x, m, before)

    def switch(self, y: Value, m: Value, *, bounded: bool, of: Callable[[], Value]) -> Value:
        return damping.switch(self.dense(y), self.dense(m))

    def damp(
        self,
        t: Value,
        m: Value,
        epsilon: float,
        sample_axis: int | None,
        known: Sequence[int | str | None],
        squares: Value | None = None,
    ) -> tuple[Value, Value | None]:
        how = (epsilon, self.samples, sample_axis, squares)
        return damping.damp(self.dense(t), self.dense(m), *how, ledger=self.keeps_ledger)

    def squares(self, t: Value, sample_axis: int | None) -> Value:
        return damping.add_squares(self.dense(t), self.samples, sample_axis)


__all__ = ["SlopeKernels"]
