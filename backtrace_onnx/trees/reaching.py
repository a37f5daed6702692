"""Which rows meet which splits, and so reach which leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.trees.games import Games

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
_TESTS = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
_AT_ONCE = 1 << 26  # conditions of rows


def columns_of(games: Games, x: Array) -> Floats:
    """float64[used features, rows] of x[rows, features]: what splits ask for."""
    return np.ascontiguousarray(x[:, games.features].T.astype(np.float64))


def count_reached(games: Games, x: Array, leaves: int) -> Floats:
    """float64[leaves of `Paths`]: how many rows of x[rows, features] reach each leaf."""
    counts = np.zeros(leaves)
    for missed in _missed(games, x):
        counts[games.leaves] += (~missed).sum(1)
    return counts


def _missed(games: Games, x: Array) -> Iterator[npt.NDArray[np.bool_]]:
    """By parts of the rows, which of them miss a condition of each game: bool[games, rows]."""
    lengths, split = np.diff(games.conditions), games.every_split
    part = max(1, _AT_ONCE // max(1, len(split)))
    for first in range(0, len(x), part):
        met = met_splits(games, x[first : first + part])
        missed = np.zeros((len(lengths), met.shape[1]), bool)
        if len(split):
            wrong = met[split] != games.side[:, None]
            some = lengths > 0
            missed[some] = np.logical_or.reduceat(wrong, games.conditions[:-1][some], axis=0)
        yield missed


def missed_players(games: Games, x: Array) -> npt.NDArray[np.bool_]:
    """bool[all players, rows]: which rows do not satisfy a player."""
    if not len(games.split):
        return np.zeros((0, len(x)), bool)
    wrong = met_splits(games, x)[games.every_split] != games.side[:, None]
    made: npt.NDArray[np.bool_] = np.logical_or.reduceat(wrong, games.asked[:-1], axis=0)
    return made


def met_splits(games: Games, x: Array) -> npt.NDArray[np.bool_]:
    """bool[splits, rows]: which splits rows meet."""
    splits, columns = games.splits, columns_of(games, x)
    asked, threshold = columns[splits.column], splits.threshold[:, None]
    passed = np.isnan(asked) & splits.missing[:, None]
    for mode, compare in enumerate(_TESTS):
        own = splits.mode == mode
        passed[own] |= compare(asked[own], threshold[own])
    if not len(passed):
        return passed
    made: npt.NDArray[np.bool_] = np.logical_or.reduceat(passed, splits.starts[:-1], axis=0)
    return made


__all__ = ["columns_of", "count_reached", "met_splits", "missed_players"]
