"""Shapley values of trees in ONNX's words: patterns by comparisons, values by look-up.

A leaf with d players has 2^d patterns, whose values are in one table for all leaves. Against a
reference of every row's own there is a formula, and no table.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.errors import CompileError
from backtrace_onnx.ops.tree_words import LeafGames
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.trees.forest import Ints
from backtrace_onnx.trees.games import Games
from backtrace_onnx.trees.paths import Paths
from backtrace_onnx.trees.reaching import missed_players
from backtrace_onnx.trees.sums import find_summation

Floats = npt.NDArray[np.float64]
_MOST_PLAYERS = 16
_MOST_NUMBERS = 1 << 24
_COMPARED = ("LessOrEqual", "Less", "GreaterOrEqual", "Greater", "Equal", "Equal")
_NEQ = 5


def write(e: Ops, asked: LeafGames) -> Value:
    """What `Ops.leaf_games` says. Raises CompileError where the table is too large for a file."""
    games: Games = asked.games
    paths: Paths = asked.paths
    before, m = asked.before, asked.m
    missed = _by_game(e, games, _missed(e, games, asked.x))
    if asked.paired:
        assert before is not None
        values = _against(e, games, missed, _by_game(e, games, _missed(e, games, before)))
    else:
        table, starts = _table(games, None if before is None else np.asarray(before))
        powers = (2.0 ** np.arange(games.most_players)).astype(e.dtype)
        pattern = e.ReduceSum(e.Mul(missed, powers), ints(2), keepdims=0)
        place = e.Add(e.Cast(pattern, to=TensorProto.INT64), starts)
        values = e.Gather(table.astype(e.dtype), place)
    m = e.Gather(m, np.arange(paths.units), axis=1)
    worth = e.MatMul(m, _answers(games, paths).astype(e.dtype))
    each = e.Reshape(e.Mul(values, e.Unsqueeze(worth, ints(2))), ints(0, -1))
    index = _padded(games.players, games.feature, 0).reshape(1, -1)
    count = e.Concat(e.Shape(each, start=0, end=1), ints(len(games.features)), axis=0)
    zeros = e.Expand(e.zero(), count)
    at = e.Expand(index, e.Shape(each))
    return e.ScatterElements(zeros, at, each, axis=1, reduction="add")


def _missed(e: Ops, games: Games, x: Value) -> Value:
    """[rows, all players]: 1 where a row does not satisfy a player, else 0."""
    width = e.Shape(x, start=-1)
    rows = e.Reshape(x, e.Concat(ints(-1), width, axis=0))
    met = _gathered(e, _tests(e, games, rows), games.splits.starts)
    wanted = games.side.astype(e.dtype)
    wrong = e.Mul(e.Gather(met, games.every_split, axis=1), 1 - 2 * wanted)
    return _gathered(e, e.Add(wrong, wanted), games.asked)


def _tests(e: Ops, games: Games, rows: Value) -> Value:
    """[rows, tests]: 1 where a row passes a test, else 0."""
    splits, order, found = games.splits, [], []
    wide = e.Cast(rows, to=TensorProto.DOUBLE)
    for mode in np.unique(splits.mode).tolist():
        own = np.flatnonzero(splits.mode == mode)
        asked = e.Gather(wide, games.features[splits.column[own]], axis=1)
        passed = e.op(_COMPARED[mode], (asked, splits.threshold[own]))
        passed = e.Not(passed) if mode == _NEQ else passed
        if splits.missing[own].any():
            passed = e.Or(passed, e.And(e.IsNaN(asked), splits.missing[own]))
        found.append(e.Cast(passed, to=e.float_type))
        order.append(own)
    if len(found) == 1:
        return found[0]
    return e.Gather(e.Concat(*found, axis=1), np.argsort(np.concatenate(order)), axis=1)


def _gathered(e: Ops, x: Value, starts: Ints) -> Value:
    """[rows, groups]: the largest of each group of columns, from one of `starts` to the next."""
    index = _padded(starts, np.arange(starts[-1]), int(starts[-1]))
    if index.shape[1] == 1:
        return x
    padded = e.Pad(x, ints(0, 0, 0, 1))
    return e.ReduceMax(e.Gather(padded, index, axis=1), ints(2), keepdims=0)


def _by_game(e: Ops, games: Games, missed: Value) -> Value:
    """[rows, games, most players], zeros behind the last one."""
    index = _padded(games.players, np.arange(games.players[-1]), int(games.players[-1]))
    return e.Gather(e.Pad(missed, ints(0, 0, 0, 1)), index, axis=1)


def _padded(starts: Ints, values: Ints, fill: int) -> Ints:
    """int64[groups, longest]: the values of every group, then `fill`."""
    lengths = np.diff(starts)
    made = np.full((len(lengths), max(1, int(lengths.max(initial=0)))), fill)
    made[np.arange(made.shape[1]) < lengths[:, None]] = values
    return made


def _answers(games: Games, paths: Paths) -> Floats:
    """[units, games]: what leaves answer."""
    values, targets = paths.values[games.leaves], paths.targets[paths.trees[games.leaves]]
    made = np.zeros((paths.units, len(values)))
    np.add.at(made, (targets, np.arange(len(values))[:, None]), values)
    return made


def _against(e: Ops, games: Games, missed: Value, lacked: Value) -> Value:
    """Values of games worth 1, where each row has a reference of its own."""
    most = games.most_players
    shares = find_summation(most).shares.astype(e.dtype)
    lost, gained = (
        e.Cast(e.ReduceSum(x, ints(2), keepdims=1), to=TensorProto.INT64) for x in (missed, lacked)
    )
    side = np.int64(most + 1)
    gain = e.Gather(shares.ravel(), e.Add(e.Mul(gained, side), lost))
    loss = e.Gather(shares.ravel(), e.Add(e.Mul(lost, side), gained))
    neither = e.ReduceMax(e.Mul(missed, lacked), ints(2), keepdims=1)
    played = e.Sub(e.Mul(lacked, gain), e.Mul(missed, loss))
    return e.Mul(played, e.Sub(e.scalar(1), neither))


def _table(games: Games, background: npt.NDArray[np.float64] | None) -> tuple[Floats, Ints]:
    """Values of all patterns [patterns, most players], and where those of every game begin."""
    players = np.diff(games.players)
    most = games.most_players
    starts = np.cumsum(np.r_[0, 1 << np.minimum(players, _MOST_PLAYERS)])
    if most > _MOST_PLAYERS or starts[-1] * max(1, most) > _MOST_NUMBERS:
        raise CompileError(
            f"{games.who}: its leaves ask for up to {most} features, and a file would hold "
            f"{starts[-1] * max(1, most):,} numbers or more for their patterns; at most "
            f"{_MOST_NUMBERS:,}, of up to {_MOST_PLAYERS} features, are written. Explain it with "
            "engine='numba', or train shallower trees"
        )
    made = np.zeros((starts[-1], max(1, most)))
    for g, values in enumerate(_values(games, background)):
        made[starts[g] : starts[g + 1], : players[g]] = values
    return made, starts[:-1]


def _values(games: Games, background: npt.NDArray[np.float64] | None) -> Iterator[Floats]:
    """Values [2^players, players] of every game's patterns."""
    behind = None if background is None else missed_players(games, background)
    for first, end in zip(games.players[:-1], games.players[1:], strict=True):
        d = end - first
        missed = (np.arange(1 << d)[:, None] >> np.arange(d)) & 1 == 1
        if behind is not None:
            yield _by_rows(missed, behind[first:end].T)
        else:
            assert games.kept is not None
            yield _by_parts(missed, games.kept[first:end])


def _by_parts(missed: npt.NDArray[np.bool_], kept: Floats) -> Floats:
    rule, points = find_summation(len(kept)), (len(kept) + 1) // 2
    place, weight = rule.places[points, :points], rule.weights[points, :points]
    absent = (1 - place) * kept[:, None]
    factors = np.where(missed[:, :, None], absent, place + absent)
    held = weight * factors.prod(1)
    alike = -(held / (1 - place)).sum(1, keepdims=True)
    satisfied = (1 - kept) * (held[:, None] / (place + absent)).sum(2)
    made: Floats = np.where(missed, alike, satisfied)
    return made


def _by_rows(missed: npt.NDArray[np.bool_], lacked: npt.NDArray[np.bool_]) -> Floats:
    shares, total = find_summation(missed.shape[1]).shares, np.zeros(missed.shape)
    patterns, counts = np.unique(lacked, axis=0, return_counts=True)
    lost = missed.sum(1)
    for own, count in zip(patterns, counts, strict=True):
        gained = int(own.sum())
        part = own * shares[gained, lost][:, None] - missed * shares[lost, gained][:, None]
        played = ~(missed & own).any(1, keepdims=True)
        total += part * played * (count / len(lacked))
    return total


__all__ = ["write"]
