"""The games of trees' leaves by kernels, for parts of the rows on several cores."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.kernels.games import add_games
from backtrace_onnx.kernels.paired_games import add_pairs
from backtrace_onnx.kernels.threads import MOST, run_all
from backtrace_onnx.ops.tree_words import LeafGames
from backtrace_onnx.trees.games import Games
from backtrace_onnx.trees.paths import Paths
from backtrace_onnx.trees.reaching import columns_of
from backtrace_onnx.trees.sums import find_summation

Array = npt.NDArray[Any]
_ROWS = 4096  # in a part, at least: rows that share what was computed of a pattern
_MOST_ROWS = 8192


def play(asked: LeafGames) -> npt.NDArray[np.float64]:
    """Shapley values [rows, used features], as `Ops.leaf_games` says, asked in arrays."""
    games: Games = asked.games
    paths: Paths = asked.paths
    x, before, paired = asked.x, asked.before, asked.paired
    splits, rule = games.splits, find_summation(games.most_players)
    compared = (splits.starts, splits.column, splits.mode, splits.threshold, splits.missing)
    played = (games.of_tree, games.players, games.feature, games.conditions)
    tables = (
        (*compared, splits.of_tree),
        (*played, games.split, games.player, games.side),
        paths.values[games.leaves],
        paths.targets,
    )
    m = np.ascontiguousarray(asked.m, np.float64)
    kept = np.zeros(len(games.feature)) if games.kept is None else games.kept
    out = np.zeros((len(games.features), len(x)))
    behind = np.zeros((len(games.features), 1))
    if before is not None and not paired:
        behind = columns_of(games, before)

    def run(part: slice) -> None:
        columns, own = columns_of(games, x[part]), np.zeros((len(out), len(m[part])))
        if paired:
            assert before is not None
            references = columns_of(games, before[part])
            add_pairs(columns, references, *tables, m[part], rule[2], own)
        else:
            backed = before is not None
            add_games(columns, behind, *tables, m[part], kept, rule, backed, own)
        out[:, part] = own

    run_all([partial(run, part) for part in _parts(len(x))])
    return out.T


def _parts(rows: int) -> list[slice]:
    count = max(min(MOST, rows // _ROWS), -(-rows // _MOST_ROWS), 1)
    ends = [rows * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


__all__ = ["play"]
