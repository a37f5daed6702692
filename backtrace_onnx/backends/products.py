"""Relevance as values times slopes, which need not be multiplied where only totals are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.layout import Samples, UnitLayouts
from backtrace_onnx.kernels import sharing

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Products:
    """Values times slopes, entry by entry.

    Attributes:
        x: values: of the slopes' shape, or a bias that is broadcast to it.
        m: slopes. before: what is taken off the values, shaped like them; None: nothing.
    """

    x: Array
    m: Array
    before: Array | None = None

    @property
    def array(self) -> Array:
        """The products."""
        made: Array = (self.x if self.before is None else self.x - self.before) * self.m
        return made

    def total(self, samples: Samples, axis: int | None, layouts: UnitLayouts) -> Array:
        """Their sum for each sample, float64[samples]."""
        x, m = self.x, self.m
        if samples.count == 1 and x.shape == m.shape and self.before is None:  # as below, faster
            return np.array([sharing.total_of_row(x.ravel(), m.ravel())], np.float64)
        out = np.zeros(samples.count)
        if x.shape != m.shape:
            units = layouts.find(m.shape, x, m.dtype, samples, axis)
            slopes = np.ascontiguousarray(m).reshape(units.outer, units.middle, units.inner)
            sharing.total_of_bias(units.bias, slopes, units.sample, out)
        elif m.size:
            outer, sample = samples.rows(m.shape, axis)
            laid = (
                None if a is None else np.ascontiguousarray(a).reshape(outer, -1)
                for a in (x, self.before, m)
            )  # fmt: skip
            sharing.total_of_products(*laid, sample, out)
        return samples.spread(out, m.shape, axis)


__all__ = ["Products"]
