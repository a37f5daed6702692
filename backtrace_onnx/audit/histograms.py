"""Histograms that a baseline keeps, and how far two distributions or rankings are apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

Array = npt.NDArray[Any]
MOST_BINS = 10
MOST_VALUES = 50
OTHER = "(other)"
_DECIMALS = 6


class Histogram(BaseModel):
    """Counts by bin: between edges of numbers, or by value of what is none.

    Attributes:
        edges: n - 1 of them between n bins, the outer ones open. values: of texts and categories.
        counts: rows by bin.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    edges: tuple[float, ...] | None = None
    values: tuple[str, ...] | None = None
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.edges is not None and self.values is not None:
            raise ValueError("a histogram has either edges or values")
        bins = len(self.values or ()) if self.edges is None else len(self.edges) + 1
        if len(self.counts) != bins:
            raise ValueError(f"{len(self.counts)} counts for {bins} bins")
        if len(set(self.values or ())) < len(self.values or ()):
            raise ValueError("values are there once")
        if min(self.counts) < 0 or not sum(self.counts):
            raise ValueError("counts are 0 or more, and of one row at least")
        if any(a >= b for a, b in pairwise(self.edges or ())):
            raise ValueError("edges ascend")
        return self

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.counts)

    def again(self, values: Array) -> Histogram:
        """The histogram of other rows, in the same bins."""
        if self.values is not None:
            return _named(values, self.values)
        edges = () if self.edges is None else self.edges
        places = np.searchsorted(np.array(edges), _rounded(values), side="right")
        counts = tuple(np.bincount(places, minlength=len(edges) + 1).tolist())
        return Histogram(edges=edges, counts=counts)


def histogram(values: Array) -> Histogram:
    """Of numbers in bins that hold as many rows each as can be, or of the values of texts.

    There are fewer bins where there are few rows, so that two halves of one population do not seem
    apart (`noise`); edges lie midway between values that occur.
    """
    if values.dtype.kind not in "fiub":
        counts = Counter(map(str, values.tolist()))
        found = sorted(counts)
        order = np.argsort([-counts[name] for name in found], kind="stable")[:MOST_VALUES]
        return _named(values, tuple(found[i] for i in np.sort(order)))
    ranked = np.sort(_rounded(values))
    bins = int(np.clip(len(ranked) // 100, 2, MOST_BINS))
    edges = set()
    for i in range(1, bins):
        below = ranked[max(0, i * len(ranked) // bins - 1)]
        above = ranked[ranked > below]
        if len(above):
            edges.add(round(float(below / 2 + above[0] / 2), _DECIMALS + 1))
    if (
        not edges and len(ranked) and np.isfinite(ranked[0])
    ):  # one value: what differs from it is another bin
        near = 0.5 * 10**-_DECIMALS
        edges = {round(float(ranked[0]) + side, _DECIMALS + 1) for side in (-near, near)}
    return Histogram(edges=tuple(sorted(edges)), counts=(1,) * (len(edges) + 1)).again(values)


def jensen_shannon(a: Histogram, b: Histogram) -> float:
    """The Jensen-Shannon distance, in nats: the root of the divergence, from 0 to 0.83.

    Source: Endres and Schindelin 2003, doi 10.1109/TIT.2003.813506.
    """
    p, q = (np.array(h.counts, np.float64) / max(1, h.rows) for h in (a, b))
    middle = (p + q) / 2
    return float(np.sqrt(max(0.0, (_entropy(p, middle) + _entropy(q, middle)) / 2)))


def noise(a: Histogram, b: Histogram) -> float:
    """The distance to be expected of two samples of one population.

    The divergence is near chi squared / 8, of as many degrees of freedom as bins but one.
    """
    free = max(0, sum(x + y > 0 for x, y in zip(a.counts, b.counts, strict=True)) - 1)
    return float(np.sqrt(free / 8 * (1 / max(1, a.rows) + 1 / max(1, b.rows))))


def ndcg(was: Sequence[float], now: Sequence[float]) -> float:
    """How well features rank as they did: normalised discounted cumulative gain, 1 is alike.

    What features were worth is the gain, their order now the ranking. Source: Amazon SageMaker
    Clarify's feature attribution drift.
    """
    gains, order = np.array(was, np.float64), np.argsort(-np.array(now), kind="stable")
    discounts = np.log2(np.arange(len(gains)) + 2)
    best = float((np.sort(gains)[::-1] / discounts).sum())
    return float((gains[order] / discounts).sum()) / best if best > 0 else float("nan")


def _named(values: Array, named: tuple[str, ...]) -> Histogram:
    found = Counter(map(str, values.tolist()))
    named = named if OTHER in named else (*named, OTHER)
    counts = [found[name] for name in named[:-1]]
    return Histogram(values=named, counts=(*counts, len(values) - sum(counts)))


def _rounded(values: Array) -> Array:
    """Without the last digits, which other machines compute otherwise; missing numbers are last."""
    made: Array = np.round(values.astype(np.float64), _DECIMALS)
    return np.where(np.isnan(made), np.finfo(np.float64).max, made)


def _entropy(p: Array, middle: Array) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / middle[there])).sum())


__all__ = ["Histogram", "histogram", "jensen_shannon", "ndcg", "noise"]
