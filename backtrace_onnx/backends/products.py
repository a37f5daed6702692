"""Relevance as values times slopes, which need not be multiplied where only totals are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.kernels import sharing

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Products:
    """Arrays of one shape and dtype, to be multiplied entry by entry.

    Attributes:
        x: values. m: slopes.
    """

    x: Array
    m: Array

    @property
    def array(self) -> Array:
        """The products."""
        return self.x * self.m

    def total(self, samples: Samples, axis: int | None) -> Array:
        """Their sum for each sample, float64[samples]."""
        out = np.zeros(samples.count)
        if self.x.size:
            outer, sample = samples.rows(self.x.shape, axis)
            laid = (np.ascontiguousarray(a).reshape(outer, -1) for a in (self.x, self.m))
            sharing.total_of_products(*laid, sample, out)
        return samples.spread(out, self.x.shape, axis)


__all__ = ["Products"]
