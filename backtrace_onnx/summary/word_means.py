"""Words of a corpus: the mean share of each over the rows that it occurs in."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

FEW = 5
"""Rows that a word occurs in at least to be told."""


@dataclass(frozen=True)
class WordMean:
    """A word and its mean shares over the rows that it occurs in.

    Attributes:
        interval: of the signed mean, by its standard error over rows.
    """

    word: str
    rows: int
    mean: float
    mean_abs: float
    interval: tuple[float, float]


class WordSums:
    """Sums by word, while rows come."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, words: list[tuple[str, float]], whole: float) -> None:
        """The words of one row, their relevance, and what that is divided by (0: all are 0).

        A word that occurs twice in a row has one share.
        """
        row: dict[str, float] = {}
        for word, r in words:
            row[word] = row.get(word, 0.0) + (r / whole if whole else 0.0)
        for word, share in row.items():
            sums = self._sums.setdefault(word, [0, 0.0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += share
            sums[2] += abs(share)
            sums[3] += share * share

    def found(self, confidence: float, few: int = FEW) -> tuple[WordMean, ...]:
        """Words in at least `few` rows, those of the largest mean |share| first."""
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        made = []
        for word, (count, total, size, squares) in self._sums.items():
            if count < max(few, 2):
                continue
            mean = total / count
            spread = sqrt(max(squares - count * mean * mean, 0.0) / (count - 1) / count)
            ends = (mean - z * spread, mean + z * spread)
            made.append(WordMean(word, int(count), mean, size / count, ends))
        return tuple(sorted(made, key=lambda w: (-w.mean_abs, w.word)))
