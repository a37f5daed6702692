"""What is told of many rows: means of shares with intervals, ranks and ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.summary.ranks import find_ranks
from backtrace_onnx.summary.word_means import WordMean

Array = npt.NDArray[Any]
Interval = tuple[float, float]


@dataclass(frozen=True)
class ShareMean:
    """The shares of a feature, a group of features or a module, over rows.

    Attributes:
        mean_abs: mean of |share|. mean: of the share with its sign.
        mean_abs_interval, mean_interval: bootstrap intervals; None of fewer than two rows.
        rank: by mean_abs, from 1: the best and the worst that intervals leave open.
        tied: names of those whose order with this one is not settled.
    """

    name: str
    mean_abs: float
    mean: float
    mean_abs_interval: Interval | None
    mean_interval: Interval | None
    rank: tuple[int, int]
    tied: tuple[str, ...]


@dataclass(frozen=True)
class MeanMap:
    """Mean maps of a picture's pixels, float64[height, width], channels added up.

    Attributes:
        mean_abs: of |share|. mean: of the share with its sign.
    """

    mean_abs: Array
    mean: Array


@dataclass(frozen=True)
class Slice:
    """Rows that are told of together: all of them, or those of one class or group.

    Attributes:
        by: what rows are told apart by; "" for all. value: which of them; None where it is missing.
        rows: how many. idle: those of them without any relevance.
        features, groups, modules: those of the largest mean |share| first.
        words: by input of texts. maps: by input of pictures.
    """

    by: str
    value: str | None
    rows: int
    idle: int
    features: tuple[ShareMean, ...]
    groups: tuple[ShareMean, ...] = ()
    modules: tuple[ShareMean, ...] = ()
    words: Mapping[str, tuple[WordMean, ...]] = field(default_factory=dict)
    maps: Mapping[str, MeanMap] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What it is called."""
        if not self.by:
            return "all rows"
        return f"{self.by} = {'missing' if self.value is None else self.value}"


def share_means(
    names: Sequence[str],
    means: Array,
    intervals: Array | None,
    replicates: Array | None,
    confidence: float,
) -> tuple[ShareMean, ...]:
    """Of columns [|share| of each name, share of each name], the largest first."""
    count = len(names)
    ranks = find_ranks(None if replicates is None else replicates[:, :count], count, confidence)
    made = []
    for i in np.argsort(-means[:count], kind="stable"):
        rank = ranks[i]
        made.append(
            ShareMean(
                names[i],
                float(means[i]),
                float(means[count + i]),
                _pair(intervals, int(i)),
                _pair(intervals, count + int(i)),
                (rank.best, rank.worst),
                tuple(names[k] for k in rank.tied),
            )
        )
    return tuple(made)


def _pair(intervals: Array | None, place: int) -> Interval | None:
    return None if intervals is None else (float(intervals[place, 0]), float(intervals[place, 1]))
