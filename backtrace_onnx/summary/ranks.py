"""Ranks of features and ties: an order holds where the resamples agree on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FeatureRank:
    """Where a feature stands.

    Attributes:
        best, worst: its rank is between these, from 1; those that are settled as larger, and as
            smaller, bound it (as in Mogstad et al. 2024, without their correction for many).
        tied: places of the features whose order with this one is not settled.
    """

    best: int
    worst: int
    tied: tuple[int, ...]


def find_ranks(replicates: Array | None, count: int, confidence: float) -> list[FeatureRank]:
    """The ranks of `count` features by resampled means float64[resamples, count].

    A pair is settled where the interval of its difference, resample by resample, leaves out 0.
    Without replicates (None) nothing is settled.
    """
    if replicates is None:
        every = range(count)
        return [FeatureRank(1, count, tuple(k for k in every if k != i)) for i in every]
    most = (1 - confidence) / 2 * len(replicates)
    above = np.zeros((count, count), bool)
    for i in range(count):
        above[i] = (replicates[:, [i]] <= replicates).sum(0) < most
    below = above.T
    open_ = ~(above | below)
    np.fill_diagonal(open_, False)
    return [
        FeatureRank(
            1 + int(below[i].sum()),
            count - int(above[i].sum()),
            tuple(np.flatnonzero(open_[i]).tolist()),
        )
        for i in range(count)
    ]
