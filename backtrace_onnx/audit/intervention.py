"""Interventions: features are replaced by what other rows have, and the answer is watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.subject import AuditedModel

Array = npt.NDArray[Any]
DRAWS = 10
"""Other rows that each row takes the feature of."""
MOVES = 0.05
"""In standard deviations of the score: less is no move that confirms anything. A proposal."""


@dataclass(frozen=True)
class Moved:
    """What became of answers.

    Attributes:
        score: mean change of the explained score, in its standard deviations over rows.
        changed: part of the copies with another answer.
        copies: how many there were, only those in which a feature is another; 0: none.
    """

    score: float
    changed: float
    copies: int

    @property
    def confirms(self) -> bool | None:
        """Whether the answer moves; None where the feature is the same in all rows."""
        return None if not self.copies else self.changed > 0 or self.score >= MOVES

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "score_moved": round(self.score, 6),
            "answers_changed": round(self.changed, 6),
            "copies": self.copies,
            "confirmed": self.confirms,
        }


def replace_features(subject: AuditedModel, features: Sequence[int], rows: Array) -> Moved:
    """Replace features of some rows, together, by what they are in others that are drawn."""
    chosen = np.zeros((len(rows), len(subject.features.names)), bool)
    chosen[:, list(features)] = True
    return _replaced(subject, chosen, rows, np.random.default_rng((subject.seed, *features)))


def replace_chosen(subject: AuditedModel, chosen: Array, rows: Array) -> Moved:
    """Replace in each row its own features, chosen bool[rows, features], together.

    Two models of the same data and seed are given the same other rows.
    """
    return _replaced(subject, chosen, rows, np.random.default_rng(subject.seed))


def _replaced(subject: AuditedModel, chosen: Array, rows: Array, rng: np.random.Generator) -> Moved:
    values = {
        i: subject.features.values(int(i), subject.data) for i in np.flatnonzero(chosen.any(0))
    }
    donors = rng.integers(subject.data.count, size=(len(rows), DRAWS)).reshape(-1)
    origin, asked = np.repeat(rows, DRAWS), np.repeat(chosen, DRAWS, 0)
    other = np.zeros(len(origin), bool)
    for feature, own in values.items():
        other |= asked[:, feature] & (own[donors] != own[origin])
    if not other.any():
        return Moved(0.0, 0.0, 0)
    origin, donors, asked = origin[other], donors[other], asked[other]
    scores = subject.scores(subject.mixed(np.where(asked, donors[:, None], origin[:, None])))
    return moved(subject, scores, origin)


def moved(subject: AuditedModel, scores: Array, origin: Array) -> Moved:
    """What became of answers: scores[copies, classes] of changed copies of the rows origin."""
    whole = subject.whole
    target = np.zeros(len(whole.scores), np.int64) if whole.target is None else whole.target
    every = whole.scores[np.arange(len(target)), target]
    by = np.abs(scores[np.arange(len(origin)), target[origin]] - every[origin]).mean()
    by /= score_spread(subject)
    changed = 0.0
    if subject.classes:
        changed = float((scores.argmax(1) != whole.scores[origin].argmax(1)).mean())
    return Moved(float(by), changed, len(origin))


def score_spread(subject: AuditedModel, rows: Array | None = None) -> float:
    """The standard deviation of the explained score, of all rows or some; never 0."""
    whole = subject.whole
    target = np.zeros(len(whole.scores), np.int64) if whole.target is None else whole.target
    every = whole.scores[np.arange(len(target)), target]
    own = every if rows is None else every[rows]
    return float(own.std()) or float(np.abs(own).max()) or 1.0


__all__ = ["Moved", "moved", "replace_chosen", "replace_features", "score_spread"]
