"""Words for decision trees: named passes, in ONNX's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtrace_onnx.ops.words import Value, Words, ints


@dataclass(frozen=True)
class LeafGames:
    """What is asked of the games that leaves of trees are.

    Attributes:
        games: `trees.games.Games`.
        paths: `trees.paths.Paths`, which say what leaves answer.
        x: rows [samples, features] as they are compared.
        m: slopes [samples, units] of what trees answer.
        before: rows of a background, as which absent features are in the mean; None: they are as
            visits say.
        paired: whether each sample has a row of its own there, and is compared with that one only.
    """

    games: Any
    paths: Any
    x: Value
    m: Value
    before: Value | None = None
    paired: bool = False


class TreeWords(Words):
    """What is asked of trees; the eager backend has kernels for it."""

    def path_sums(
        self,
        rows: Value,
        slots: Value,
        changes: Value,
        targets: Value,
        shares: Value | None,
        units: tuple[int, int],
    ) -> Value:
        """out[n, slots[i], targets[t]] += changes[i] for row i = rows[n, t]; out[samples, *units].

        rows int64[samples, trees], slots int64[rows, asked], changes [rows, asked, votes], targets
        int64[trees, votes]; shares[samples, trees, votes] weigh what a tree's votes change. Slots
        end at the first -1; there are no changes behind it.
        """
        one, two = ints(1), ints(2)
        parts = self.Gather(changes, rows)
        if shares is not None:
            parts = self.Mul(parts, self.Unsqueeze(shares, two))
        if units[1] > 1 and (targets == np.arange(units[1])).all():
            return self._slice_sums(self.Gather(slots, rows), parts, units)
        at = self.Mul(self.Unsqueeze(self.Gather(slots, rows), ints(3)), np.int64(units[1]))
        at = self.Reshape(self.Add(at, self.Unsqueeze(targets, one)), ints(0, -1))
        count = self.Concat(self.Shape(at, start=0, end=1), ints(units[0] * units[1]), axis=0)
        flat = self.Reshape(parts, ints(0, -1))
        zeros = self.Expand(self.zero(), count)
        made = self.ScatterElements(zeros, at, flat, axis=1, reduction="add")
        return self.Reshape(made, ints(0, *units))

    def leaf_games(self, text: Callable[[Any, LeafGames], Value], asked: LeafGames) -> Value:
        """Shapley values [samples, used features] of what trees answer, times m[samples, units].

        Args:
            text: says it in ONNX's words.
        """
        return text(self, asked)

    def _slice_sums(self, slots: Value, parts: Value, units: tuple[int, int]) -> Value:
        """out[n, slots[n, ...]] += parts[n, ...]: whole rows of units at once."""
        samples = self.Shape(slots, start=0, end=1)
        sample = self.Range(np.int64(0), self.Squeeze(samples, ints(0)), np.int64(1))
        sample = self.Expand(self.Reshape(sample, ints(-1, 1, 1)), self.Shape(slots))
        at = self.Concat(*(self.Unsqueeze(x, ints(3)) for x in (sample, slots)), axis=3)
        zeros = self.Expand(self.zero(), self.Concat(samples, ints(*units), axis=0))
        return self.ScatterND(zeros, at, parts, reduction="add")


__all__ = ["LeafGames", "TreeWords"]
