"""Shapley values of the games of trees' leaves, of every row against a reference of its own."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.kernels.games import add_pair, ask, find_missed, weigh
from backtrace_onnx.kernels.jit import exact_kernel


@exact_kernel
def add_pairs(columns, references, splits, games, values, targets, m, shares, out):  # type: ignore[no-untyped-def]
    """out[feature, n] += the Shapley values of row n in the games of all trees.

    columns, references [used, rows] float64; the rest as `games.add_games` takes it.
    """
    tests, tree_splits = splits[:5], splits[5]
    tree_games, players, feature, conditions, split, player, side = games
    rows = columns.shape[1]
    most, widest = 1, 1
    for g in range(players.shape[0] - 1):
        most = max(most, players[g + 1] - players[g])
    for t in range(tree_splits.shape[0] - 1):
        widest = max(widest, tree_splits[t + 1] - tree_splits[t])
    met, met_before = np.empty((widest, rows), np.uint8), np.empty((widest, rows), np.uint8)
    missed, lacked = np.empty(most, np.uint8), np.empty(most, np.uint8)
    made, worth = np.empty(most), np.empty(rows)
    for t in range(tree_games.shape[0] - 1):
        first, end = tree_splits[t], tree_splits[t + 1]
        ask(columns, tests, first, end, met)
        ask(references, tests, first, end, met_before)
        for g in range(tree_games[t], tree_games[t + 1]):
            d, begin = players[g + 1] - players[g], players[g]
            if d == 0 or not weigh(m, values[g], targets[t], rows, worth):
                continue
            c, stop = conditions[g], conditions[g + 1]
            for n in range(rows):
                if not either(met, met_before, split, side, c, stop, n):
                    continue
                find_missed(met, split, player, side, c, stop, n, missed[:d])
                find_missed(met_before, split, player, side, c, stop, n, lacked[:d])
                made[:d] = 0
                add_pair(missed[:d], lacked[:d], shares, 1.0, made)
                for j in range(d):
                    out[feature[begin + j], n] += worth[n] * made[j]


@exact_kernel
def either(met, met_before, split, side, first, end, n):  # type: ignore[no-untyped-def]
    """Whether row n or its reference meets every condition, and not both meet all of them."""
    differ = False
    for c in range(first, end):
        s = split[c]
        here, there = met[s, n] == side[c], met_before[s, n] == side[c]
        if not (here or there):
            return False
        differ |= here != there
    return differ
