"""Shapley values of the games of trees' leaves, for many rows at once.

A row enters a game only by the players that it does not satisfy: its pattern. Rows with the same
pattern get the same values, which are computed once and then looked up. So the work for a row is
what it takes to add them, and a row gets the same bits whatever rows are beside it.
"""

from __future__ import annotations

import numpy as np

from backtrace_onnx.kernels.jit import exact_kernel

LISTED = 12  # players whose patterns are numbered directly; with more they are hashed
KEYED = 62  # players whose pattern fits an integer
_SCATTER = np.uint64(0x9E3779B97F4A7C15)
_LEQ, _LT, _GTE, _GT, _EQ, _NEQ = range(6)


@exact_kernel
def ask(columns, tests, first, end, met):  # type: ignore[no-untyped-def]
    """met[s, n] = whether row n meets split first + s: any of its tests, as `Splits` says.

    columns [used, rows] float64.
    """
    starts, column, mode, threshold, missing = tests
    rows = columns.shape[1]
    for s in range(first, end):
        row = met[s - first]
        row[:rows] = 0
        for k in range(starts[s], starts[s + 1]):
            x, t = columns[column[k]], threshold[k]
            if mode[k] == _LEQ:
                for n in range(rows):
                    row[n] |= x[n] <= t
            elif mode[k] == _LT:
                for n in range(rows):
                    row[n] |= x[n] < t
            elif mode[k] == _GTE:
                for n in range(rows):
                    row[n] |= x[n] >= t
            elif mode[k] == _GT:
                for n in range(rows):
                    row[n] |= x[n] > t
            elif mode[k] == _EQ:
                for n in range(rows):
                    row[n] |= x[n] == t
            else:
                for n in range(rows):
                    row[n] |= x[n] != t
            if missing[k]:
                for n in range(rows):
                    row[n] |= x[n] != x[n]


@exact_kernel
def name_patterns(met, split, player, side, first, end, rows, keys):  # type: ignore[no-untyped-def]
    """keys[n] = the players that row n does not satisfy, bit by bit; conditions first to end."""
    keys[:rows] = 0
    for c in range(first, end):
        row, wanted, place = met[split[c]], np.int64(side[c]), np.int64(player[c])
        for n in range(rows):
            keys[n] |= (np.int64(row[n]) ^ wanted) << place


@exact_kernel
def find_missed(met, split, player, side, first, end, n, missed):  # type: ignore[no-untyped-def]
    """missed[player] = whether row n does not satisfy a player."""
    missed[:] = 0
    for c in range(first, end):
        missed[player[c]] |= met[split[c], n] ^ side[c]


@exact_kernel
def unpack(key, missed):  # type: ignore[no-untyped-def]
    """A pattern's bits, one by one."""
    for j in range(missed.shape[0]):
        missed[j] = (key >> j) & 1


@exact_kernel
def by_parts(missed, kept, places, weights, held, out):  # type: ignore[no-untyped-def]
    """Shapley values of a game worth 1, whose absent players are satisfied in part: kept[player].

    A player's value is the integral, over the part t of the others that are there, of what they let
    through, times what the player changes (Owen 1972): a polynomial in t, whose integral
    Gauss-Legendre sums give exactly. `held` is room for as many numbers as there are places.
    """
    players = missed.shape[0]
    points = (players + 1) // 2
    place, weight = places[points], weights[points]
    for q in range(points):
        held[q] = weight[q]
    for i in range(players):
        for q in range(points):
            absent = (1 - place[q]) * kept[i]
            held[q] *= absent if missed[i] else place[q] + absent
    alike = 0.0
    for q in range(points):
        alike -= held[q] / (1 - place[q])
    for j in range(players):
        if missed[j]:
            out[j] = alike
        else:
            total = 0.0
            for q in range(points):
                total += held[q] / (place[q] + (1 - place[q]) * kept[j])
            out[j] = (1 - kept[j]) * total


@exact_kernel
def add_pair(missed, lacked, shares, weight, out):  # type: ignore[no-untyped-def]
    """out[player] += Shapley values of a game worth `weight`, whose absent players are a reference.

    Where neither of the two satisfies a player the game is never won; where both do there is
    nothing to play for. missed: of the row; lacked: of the reference.
    """
    gained, lost = 0, 0
    for j in range(missed.shape[0]):
        if missed[j]:
            if lacked[j]:
                return
            lost += 1
        elif lacked[j]:
            gained += 1
    for j in range(missed.shape[0]):
        if missed[j]:
            out[j] -= weight * shares[lost, gained]
        elif lacked[j]:
            out[j] += weight * shares[gained, lost]


@exact_kernel
def by_background(missed, key, lacked, keys, counts, seen, shares, total, out):  # type: ignore[no-untyped-def]
    """Shapley values of a game worth 1, in the mean over the patterns of a background.

    key, keys: the patterns as integers, where there are few players.
    """
    out[:] = 0
    listed = missed.shape[0] <= LISTED
    for b in range(seen):
        if listed and key & keys[b]:
            continue
        add_pair(missed, lacked[b], shares, counts[b] / total, out)


@exact_kernel
def see_background(met, split, player, side, first, end, keys, index, lacked, counts):  # type: ignore[no-untyped-def]
    """Fill in the patterns of a background and how often each is there; returns how many."""
    players, rows, seen = lacked.shape[1], met.shape[1], 0
    if players > LISTED:
        for n in range(rows):
            find_missed(met, split, player, side, first, end, n, lacked[n])
            counts[n] = 1
        return rows
    name_patterns(met, split, player, side, first, end, rows, keys)
    index[: 1 << players] = -1
    for n in range(rows):
        at = index[keys[n]]
        if at < 0:
            at = index[keys[n]] = seen
            unpack(keys[n], lacked[seen])
            keys[seen], counts[seen] = keys[n], 0
            seen += 1
        counts[at] += 1
    return seen


@exact_kernel
def look_up(key, players, index, hashed):  # type: ignore[no-untyped-def]
    """The place of a pattern in `index`, which is -1 there where it is new."""
    if players <= LISTED:
        return key
    last = hashed.shape[0] - 1
    at = np.int64((np.uint64(key) * _SCATTER) >> np.uint64(20)) & last
    while index[at] >= 0 and hashed[at] != key:
        at = (at + 1) & last
    return at


@exact_kernel
def weigh(m, votes, targets, rows, worth):  # type: ignore[no-untyped-def]
    """worth[n] = what a leaf's votes are worth to row n; returns whether anything is."""
    any_worth = False
    worth[:rows] = 0
    for k in range(votes.shape[0]):
        if votes[k] != 0:
            of = targets[k]
            for n in range(rows):
                worth[n] += m[n, of] * votes[k]
    for n in range(rows):
        any_worth |= worth[n] != 0
    return any_worth


@exact_kernel
def make_room(players, of_tree, rows, behind):  # type: ignore[no-untyped-def]
    """Arrays that games are played in: of rows, of the background, of patterns, of one game."""
    most, widest, size = 1, 1, 1 << LISTED
    for g in range(players.shape[0] - 1):
        most = max(most, players[g + 1] - players[g])
    for t in range(of_tree.shape[0] - 1):
        widest = max(widest, of_tree[t + 1] - of_tree[t])
    while size < 2 * rows:
        size *= 2
    whole = np.int64
    of_rows = np.empty((widest, rows), np.uint8), np.empty(rows, whole), np.empty(rows, whole)
    before = np.empty((widest, behind), np.uint8), np.empty(behind, whole), np.empty(behind, whole)
    patterns = np.empty(size, whole), np.empty(size, whole), np.empty(rows * most)
    single = np.empty(most), np.empty(most, np.uint8), np.empty(behind * most, np.uint8)
    return of_rows, before, patterns, single


@exact_kernel
def look_up_all(  # type: ignore[no-untyped-def]
    asked, first, end, kept, rule, backed, room
):
    """Fill in where the values of each row's pattern lie in room's `stored`, and these."""
    split, player, side = asked
    (met, keys, at), (met_before, keys_before, counts), (index, hashed, stored), single = room
    held, missed, lacked = single
    places, weights, shares = rule
    d, rows, behind = kept.shape[0], met.shape[1], met_before.shape[1]
    seen, own, patterns = 0, missed[:d], lacked[: behind * d].reshape(behind, d)
    if backed:
        seen = see_background(
            met_before, split, player, side, first, end, keys_before, index, patterns, counts
        )
    if d <= KEYED:
        name_patterns(met, split, player, side, first, end, rows, keys)
        index[: 1 << d if d <= LISTED else index.shape[0]] = -1
    found = 0
    for n in range(rows):
        if d <= KEYED:
            place = look_up(keys[n], d, index, hashed)
            at[n] = index[place]
            if at[n] >= 0:
                continue
            unpack(keys[n], own)
            index[place], hashed[place] = found, keys[n]
        else:
            find_missed(met, split, player, side, first, end, n, own)
        at[n] = found
        made = stored[found : found + d]
        if backed:
            key = keys[n] if d <= KEYED else 0
            by_background(own, key, patterns, keys_before, counts, seen, shares, behind, made)
        else:
            by_parts(own, kept, places, weights, held, made)
        found += d


@exact_kernel
def add_games(  # type: ignore[no-untyped-def]
    columns, background, splits, games, values, targets, m, kept, rule, backed, out
):
    """out[feature, n] += the Shapley values of row n in the games of all trees.

    columns [used, rows], background [used, its rows] float64; splits and games: arrays of
    `trees.games`; values [games, votes], targets [trees, votes]: what leaves answer; m [rows,
    units]: what a unit is worth; kept: by player; rule: that of `trees.sums`; backed: whether
    absent players are those of the background, or `kept` says of them.
    """
    tests, tree_splits = splits[:5], splits[5]
    tree_games, players, feature, conditions = games[:4]
    asked = games[4:]
    rows = columns.shape[1]
    room = make_room(players, tree_splits, rows, background.shape[1])
    at, stored, worth = room[0][2], room[2][2], np.empty(rows)
    for t in range(tree_games.shape[0] - 1):
        begun = False
        for g in range(tree_games[t], tree_games[t + 1]):
            first, end = players[g], players[g + 1]
            if first == end or not weigh(m, values[g], targets[t], rows, worth):
                continue
            if not begun:
                begun = True
                ask(columns, tests, tree_splits[t], tree_splits[t + 1], room[0][0])
                if backed:
                    ask(background, tests, tree_splits[t], tree_splits[t + 1], room[1][0])
            begin, stop = conditions[g], conditions[g + 1]
            look_up_all(asked, begin, stop, kept[first:end], rule, backed, room)
            for j in range(end - first):
                row = out[feature[first + j]]
                for n in range(rows):
                    row[n] += worth[n] * stored[at[n] + j]
