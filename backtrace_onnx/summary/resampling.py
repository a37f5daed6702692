"""Bootstrap intervals of means of rows that stream by: every resample keeps its own sums.

A resample takes every row a Poisson(1) number of times, which is what drawing as many rows with
replacement comes to (Chamandy et al. 2012, "Estimating uncertainty for massive data streams").
"""

from __future__ import annotations

from math import exp, factorial
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BLOCK = 1024
"""Rows that are added at once, however they arrive: so sums are the same to the last bit."""
_LEVELS = 1 << 16


class Resamples:
    """How often every resample takes each row; row 0 of the weights is the data as they are.

    Args:
        count: of resamples. seed: of the draws, which follow from it and the number of the block.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self._seed = count, seed
        chances = np.cumsum([exp(-1) / factorial(k) for k in range(9)])
        middles = (np.arange(_LEVELS) + 0.5) / _LEVELS
        self._times = np.searchsorted(chances, middles).astype(np.uint8)

    def weights(self, block: int, rows: int) -> Array:
        """float64[1 + count, rows] of one block of at most BLOCK rows."""
        rng = np.random.default_rng([self._seed, block])
        drawn = rng.integers(0, _LEVELS, (self.count, BLOCK), np.uint16)[:, :rows]
        return np.concatenate([np.ones((1, rows)), self._times[drawn]])


class ResampledMeans:
    """Means of columns, and the same of every resample.

    Args:
        resamples: how many. columns: how many.
    """

    def __init__(self, resamples: int, columns: int) -> None:
        self._sums = np.zeros((1 + resamples, columns))
        self._weights = np.zeros(1 + resamples)
        self.rows = 0

    def add(self, weights: Array, columns: Array) -> None:
        """Add rows: weights float64[1 + resamples, rows], columns float64[rows, columns]."""
        self._sums += weights @ columns
        self._weights += weights.sum(1)
        self.rows += len(columns)

    @property
    def means(self) -> Array:
        """float64[columns]; NaN of no rows."""
        made: Array = self._sums[0] / self._weights[0] if self.rows else self._sums[0] * np.nan
        return made

    @property
    def replicates(self) -> Array:
        """float64[resamples, columns]; resamples that took no row are left out."""
        taken = self._weights[1:] > 0
        made: Array = self._sums[1:][taken] / self._weights[1:][taken, None]
        return made

    def intervals(self, confidence: float) -> Array | None:
        """float64[columns, 2]: percentiles of the resamples; None for fewer than two rows."""
        found = self.replicates
        if self.rows < 2 or not len(found):
            return None
        ends = (1 - confidence) / 2
        made: Array = np.quantile(found, [ends, 1 - ends], axis=0).T
        return made
