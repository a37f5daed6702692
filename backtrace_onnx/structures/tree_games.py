"""The Shapley values of trees: which games are played, and what absent players are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.ops.tree_words import LeafGames
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.structures.base import Step
from backtrace_onnx.trees.forest import Forest
from backtrace_onnx.trees.games import Games, find_games, with_counts
from backtrace_onnx.trees.paths import Paths, usable_hits
from backtrace_onnx.trees.reaching import count_reached
from backtrace_onnx.trees.written_games import write

Floats = npt.NDArray[np.float64]


class TreeGames:
    """The games of a forest's leaves, made once, when they are asked for.

    Attributes:
        counted: whether the file says how often its nodes were visited.
    """

    def __init__(self, forest: Forest, who: str) -> None:
        self._forest, self._who = forest, who
        self.counted = usable_hits(forest) is not None
        self._games: Games | None = None

    def of(self, paths: Paths) -> Games:
        """The games of the leaves of these paths, with the file's own counts."""
        if self._games is None:
            self._games = find_games(self._forest, paths, self._who)
        return self._games

    def shared(
        self, step: Step, paths: Paths, x: Value, before: Value | None, m: Value, units: int
    ) -> tuple[Value, Floats]:
        """Shapley values [samples, used features] of the units' answers times m[samples, units],
        and what trees are expected to answer, float64[units]; zeros where there is a reference.

        Args:
            paths: the forest's, with the answers that count.
            x, before: rows, and those of a background or reference, as they are compared.
        """
        games, how = self.of(paths), step.method.trees
        if how == "recounted":
            counts = count_reached(games, _rows(before), len(paths.leaves))
            games, before = with_counts(games, self._forest, paths, counts, self._who), None
        if how == "background":
            before = _rows(before)
        paired = how == "pairs"
        made = step.ops.leaf_games(write, LeafGames(games, paths, x, m, before, paired))
        return made, np.zeros(units) if paired else _expected(games, paths, before, units)


def _rows(x: Value | None) -> npt.NDArray[Any]:
    """A background's rows [rows, features]."""
    array = np.asarray(x)
    return array.reshape(-1, array.shape[-1])


def _expected(games: Games, paths: Paths, before: Value | None, units: int) -> Floats:
    """What the trees are expected to answer, by unit."""
    if before is None:
        assert games.kept is not None
        answers = games.expected(paths.values, games.kept)
    else:
        part = count_reached(games, before, len(paths.leaves)) / len(before)
        answers = paths.values * part[:, None]
    found = np.zeros(units)
    np.add.at(found, paths.targets[paths.trees], answers)
    return found


__all__ = ["TreeGames"]
