"""The words for maxima, computed by kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends import winners
from backtrace_onnx.backends.tree_kernels import TreeKernels
from backtrace_onnx.kernels import scatter
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.ops.windows import Window

Array = npt.NDArray[Any]


class WinnerKernels(TreeKernels):
    """What the eager backend has for maxima."""

    def split_ties(self, x: Value, best: Value, r: Value, axes: Sequence[int] | None) -> Value:
        return winners.split_ties(self.dense(r), self.array(x), self.array(best), axes)

    def split_windows(self, x: Value, best: Value, r: Value, window: Window) -> Value:
        x, first = self.array(x), self.array(window.first(self, self.shape(x)))
        return winners.split_windows(self.dense(r), x, self.array(best), window, first)

    def split_regions(self, x: Value, r: Value, batch: Value, rows: Value, columns: Value) -> Value:
        x = np.ascontiguousarray(self.array(x))
        out = np.zeros(x.shape, self.dtype)
        scatter.split_regions(x, self.dense(r), batch, rows, columns, out)
        return out

    def split_lines(
        self, x: Value, x0: Value, r: Value, window: Window, highest: Callable[[Value], Value]
    ) -> Value:
        ends = [self.dense(end) for end in (x0, x)]
        first = self.array(window.first(self, self.shape(x)))
        return winners.split_lines(self.dense(r), ends[0], ends[1], window, first)

    def dense(self, r: Value) -> Array:
        """Relevance in its own precision, without gaps."""
        return np.ascontiguousarray(self.array(r), self.dtype)
