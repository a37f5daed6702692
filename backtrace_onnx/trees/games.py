"""What a leaf asks of a row, feature by feature: the games whose Shapley values explain a tree.

A leaf is reached where every feature on its path meets all that is asked of it there. So a tree is
a sum of games, one for each leaf: worth the leaf's answer if all its players (the features) are
satisfied. The Shapley values of a tree are the sums of those of its games (Yang, "Fast TreeSHAP",
2021, arXiv 2109.09847; Yu et al., "Linear TreeShap", 2022, arXiv 2209.08192).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RuleError
from backtrace_onnx.trees.forest import Forest, Ints
from backtrace_onnx.trees.paths import (
    Paths,
    chain_ends,
    climb,
    find_levels,
    find_parents,
    find_visits,
    usable_hits,
)

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
_MOST_CONDITIONS = 200_000_000


@dataclass(frozen=True)
class Splits:
    """What is asked, split by split; those of a tree lie one after another.

    Attributes:
        starts: int64[splits + 1]: where the tests of each split begin: it is met by any of them.
        column, mode, threshold, missing: of every test; `column` is a place in `Games.features`.
        of_tree: int64[trees + 1]: where the splits of each tree begin.
    """

    starts: Ints
    column: Ints
    mode: Ints
    threshold: Floats
    missing: npt.NDArray[np.bool_]
    of_tree: Ints


@dataclass(frozen=True)
class Games:
    """The games of a forest's leaves, tree by tree.

    Attributes:
        features: int64[used]: the features that any split asks for.
        splits: what is asked.
        leaves: int64[leaves]: which leaf of `Paths` each game is of.
        of_tree: int64[trees + 1]: where the games of each tree begin.
        players: int64[leaves + 1]: where the players of each game begin.
        feature: int64[all players]: a player's place in `features`.
        conditions: int64[leaves + 1]: where the conditions of each game begin.
        split, player, side: of every condition: the split, counted from the first of its tree, the
            player, counted from the first of its game, and whether the split must be met; ordered
            by player.
        who: the operator, as messages name it.
        kept: float64[all players]: the part of the samples at the root that a player's conditions
            let through; None where nobody counted.
    """

    features: Ints
    splits: Splits
    leaves: Ints
    of_tree: Ints
    players: Ints
    feature: Ints
    conditions: Ints
    split: Ints
    player: Ints
    side: npt.NDArray[np.bool_]
    who: str
    kept: Floats | None

    @property
    def every_split(self) -> Ints:
        """The split of every condition, counted from the first of all."""
        lengths = np.diff(self.conditions)
        tree = np.searchsorted(self.of_tree, np.arange(len(lengths)), side="right") - 1
        made: Ints = self.split + np.repeat(self.splits.of_tree[tree], lengths)
        return made

    @property
    def asked(self) -> Ints:
        """int64[all players + 1]: where the conditions of each player begin."""
        lengths = np.diff(self.conditions)
        of = self.player + np.repeat(self.players[:-1], lengths)
        return np.searchsorted(of, np.arange(self.players[-1] + 1))

    @property
    def most_players(self) -> int:
        """Of one game."""
        return int(np.diff(self.players).max(initial=0))

    def expected(self, values: Floats, kept: Floats) -> Floats:
        """float64[leaves of `Paths`, votes]: what each leaf is expected to add, by `kept`."""
        made = np.zeros_like(values)
        made[self.leaves] = values[self.leaves] * self.reached(kept)[:, None]
        return made

    def reached(self, kept: Floats) -> Floats:
        """float64[games]: the part of the samples that each leaf is reached by, by `kept`."""
        padded = np.r_[kept, 1.0]
        parts = np.multiply.reduceat(padded, np.minimum(self.players[:-1], len(kept)))
        made: Floats = np.where(np.diff(self.players) > 0, parts, 1.0)
        return made


def find_games(forest: Forest, paths: Paths, who: str) -> Games:
    """The games of a forest whose paths are known. Raises RuleError where paths are too long."""
    levels = find_levels(forest, who)
    last = chain_ends(forest, levels)
    reached = np.concatenate(levels)
    parent = find_parents(forest, reached, last, who)
    order = np.argsort(paths.trees, kind="stable")
    rows, split, side = _conditions(forest, paths.leaves[order], parent, last, who)
    tree_of = paths.trees[order]
    splits, number, first = _splits(forest, reached, last, split, tree_of[rows], len(paths.roots))
    features, column = np.unique(splits.column, return_inverse=True)
    features = features if len(features) else np.zeros(1, np.int64)
    slot = np.searchsorted(features, forest.feature[split])
    pairs, who_plays = np.unique(rows * len(features) + slot, return_inverse=True)
    count = len(order)
    players = np.searchsorted(pairs // len(features), np.arange(count + 1))
    by_row = np.argsort(who_plays, kind="stable")
    rows, who_plays = rows[by_row], who_plays[by_row]
    games = Games(
        features,
        replace(splits, column=column.astype(np.int64)),
        order,
        np.searchsorted(tree_of, np.arange(len(paths.roots) + 1)),
        players,
        pairs % len(features),
        np.searchsorted(rows, np.arange(count + 1)),
        number[by_row] - first[tree_of[rows]],
        who_plays - players[rows],
        side[by_row],
        who,
        None,
    )
    kept = _kept(forest, split[by_row], side[by_row], who_plays, len(pairs))
    return replace(games, kept=kept)


def with_counts(games: Games, forest: Forest, paths: Paths, counts: Floats, who: str) -> Games:
    """The games where each leaf was reached by so many samples: float64[leaves of `Paths`]."""
    visits = find_visits(forest, paths.leaves, counts, who)
    made = find_games(replace(forest, hits=visits), paths, who)
    if made.kept is not None:
        return made
    raise RuleError(f"{who}: the background visits all nodes alike; give more rows")


def _conditions(
    forest: Forest, leaves: Ints, parent: Ints, last: Ints, who: str
) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """(game, split, side) of everything that is asked on the way to a leaf.

    A split whose two ways are one asks nothing; of a chain of splits the last one stands for all.
    """
    found: list[tuple[Array, Array, Array]] = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0, bool),)]
    for rows, here, above in climb(leaves, parent, _MOST_CONDITIONS, who):
        yes, no = forest.yes[above] == here, forest.no[above] == here
        asks = (last[here] != last[above]) & (yes != no)
        found.append((rows[asks], last[above[asks]], yes[asks]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]


def _splits(
    forest: Forest, reached: Ints, last: Ints, split: Ints, tree: Ints, trees: int
) -> tuple[Splits, Ints, Ints]:
    """The splits, the number of each condition's, and the first number of each tree."""
    span = len(forest.mode)
    keys, number = np.unique(tree * span + split, return_inverse=True)
    first = np.searchsorted(keys, np.arange(trees + 1) * span)
    rank = np.full(span, -1)
    rank[keys % span] = np.arange(len(keys))
    tests = np.sort(reached[~forest.leaves[reached]])
    tests = tests[rank[last[tests]] >= 0]
    tests = tests[np.argsort(rank[last[tests]], kind="stable")]
    starts = np.searchsorted(rank[last[tests]], np.arange(len(keys) + 1))
    made = Splits(
        starts,
        forest.feature[tests],
        forest.mode[tests],
        forest.threshold[tests].astype(np.float64),
        forest.missing[tests],
        first,
    )
    return made, number, first


def _kept(
    forest: Forest, split: Ints, side: npt.NDArray[np.bool_], player: Ints, count: int
) -> Floats | None:
    """By player, the product of the parts that its conditions let through."""
    hits = usable_hits(forest)
    if hits is None:
        return None
    yes, no = hits[forest.yes[split]], hits[forest.no[split]]
    both = yes + no
    part = np.divide(yes, both, out=np.full_like(both, 0.5), where=both > 0)
    kept = np.ones(count)
    np.multiply.at(kept, player, np.where(side, part, 1 - part))
    return kept


__all__ = ["Games", "Splits", "find_games", "with_counts"]
