"""Means of samples with bootstrap intervals, and ranks in which what overlaps is tied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.catalogue import Better

Array = npt.NDArray[Any]
LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """The mean over rows, and the interval that holds it in 95 % of such draws of rows.

    Attributes:
        low, high: NaN of fewer than two rows. count: rows that have a number.
    """

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float | None], seed: int = 0) -> Estimate:
        """The estimate of some numbers, without those that are none.

        The interval is the bootstrap's, by percentiles. Raises RequestError without scipy.
        """
        numbers = np.array([v for v in values if v is not None and np.isfinite(v)], np.float64)
        if len(numbers) < 2:
            mean = float(numbers[0]) if len(numbers) else float("nan")
            return cls(mean, float("nan"), float("nan"), len(numbers))
        bootstrap = need_scipy().bootstrap
        found = bootstrap(
            (numbers,),
            np.mean,
            n_resamples=DRAWS,
            batch=max(1, (1 << 22) // len(numbers)),
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return cls(float(numbers.mean()), float(found.low), float(found.high), len(numbers))

    def beats(self, other: Estimate, better: Better) -> bool:
        """Whether it is better than another, their intervals apart."""
        if better == "larger":
            return bool(self.low > other.high)
        return bool(self.high < other.low)


@dataclass(frozen=True)
class MetricRank:
    """A place, from 1; `tied` where another one has intervals that overlap with this one's."""

    place: int
    tied: bool

    def __str__(self) -> str:
        return f"{self.place}{'=' if self.tied else ''}"


def rank(estimates: Sequence[Estimate | None], better: Better) -> list[MetricRank | None]:
    """The rank of each: 1 more than there are that beat it. None has none."""
    made: list[MetricRank | None] = []
    for own in estimates:
        if own is None or not own.count:
            made.append(None)
            continue
        others = [e for e in estimates if e is not None and e.count and e is not own]
        before = [e for e in others if e.beats(own, better)]
        tied = any(not e.beats(own, better) and not own.beats(e, better) for e in others)
        made.append(MetricRank(1 + len(before), tied))
    return made


def need_scipy() -> Any:
    """scipy.stats. Raises RequestError with the pip line that installs it."""
    try:
        from scipy import stats
    except ModuleNotFoundError:
        raise RequestError(
            "intervals need scipy, which is not installed. "
            "Type: pip install 'backtrace-onnx[evaluate]'"
        ) from None
    return stats


__all__ = ["Estimate", "MetricRank", "need_scipy", "rank"]
