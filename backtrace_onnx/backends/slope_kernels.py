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
        x = x if type(x) is np.ndarray else self.array(x)
        m = m if type(m) is np.ndarray else self.array(m)
        before = None if before is None else self.array(before)
        alike = x.dtype == m.dtype == self.dtype
        if before is None:
            if alike and (x.shape == m.shape or _fits(x.shape, m.shape)):
                return Products(x, m)
        elif alike and before.dtype == m.dtype and x.shape == m.shape == before.shape:
            return Products(x, m, before)
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


def _fits(own: Sequence[int], full: Sequence[int]) -> bool:
    """Whether an array of one shape is broadcast to the other, which stays as it is."""
    lacking = len(full) - len(own)
    return lacking >= 0 and all(n in (1, size) for n, size in zip(own, full[lacking:], strict=True))


__all__ = ["SlopeKernels"]
