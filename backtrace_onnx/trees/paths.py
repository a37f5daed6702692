"""What every split on the way to a leaf changes: path attribution of decision trees.

A tree's answer is the expectation at its root plus, split by split, the change in expectation on
the way to the leaf; every change is credited to the feature asked there (Saabas, "Interpreting
random forests", 2014).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import ModelError, RuleError
from backtrace_onnx.trees.forest import EQ, Forest, Ints

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
_MOST_STEPS = 200_000_000  # from all leaves to their roots


@dataclass(frozen=True)
class Paths:
    """A forest's leaves, numbered, and what the splits on the way to each change.

    Attributes:
        leaves, trees: node and tree of every leaf that can be reached.
        features: int64[used]: the features that any split asks for.
        slots: int64[leaves, asked]: places in `features` of what a path asks for, then -1.
        changes: float64[leaves, asked, votes]: the change in expectation that is credited to each.
        targets: int64[trees, votes]: what the votes of a tree's leaves are for.
        roots: float64[trees, votes]: expectation at the root.
        values: float64[leaves, votes]: what the leaf answers: expectation at the root plus changes.
    """

    leaves: Ints
    trees: Ints
    features: Ints
    slots: Ints
    changes: Floats
    targets: Ints
    roots: Floats
    values: Floats

    @property
    def units(self) -> int:
        """How many targets there are votes for, at least."""
        return int(self.targets.max(initial=0)) + 1


def find_paths(forest: Forest, who: str) -> Paths:
    """The paths of a forest. Raises ModelError for a cycle, RuleError where ways meet again."""
    levels = find_levels(forest, who)
    reached = np.concatenate(levels)
    leaves = np.sort(reached[forest.leaves[reached]])
    trees = _trees(forest)[leaves]
    targets, values = _columns(forest, leaves, trees)
    last = chain_ends(forest, levels)
    expected = _expectations(forest, levels, leaves, values, last)
    parent = find_parents(forest, reached, last, who)
    features, slots, changes = _changes(forest, leaves, parent, expected, who)
    return Paths(leaves, trees, features, slots, changes, targets, expected[forest.roots], values)


def find_levels(forest: Forest, who: str) -> list[Ints]:
    """Nodes by level, every node after all that lead to it."""
    inner = ~forest.leaves
    reached = np.zeros(len(inner), bool)
    front = np.unique(forest.roots)
    while len(front):
        reached[front] = True
        after = _next(forest, front[inner[front]])
        front = np.unique(after[~reached[after]])
    waiting = np.zeros(len(inner), np.int64)
    np.add.at(waiting, _next(forest, np.flatnonzero(reached & inner)), 1)
    levels = [np.unique(forest.roots[waiting[forest.roots] == 0])]
    while len(levels[-1]):
        after, count = np.unique(_next(forest, levels[-1][inner[levels[-1]]]), return_counts=True)
        waiting[after] -= count
        levels.append(after[waiting[after] == 0])
    if sum(map(len, levels)) != int(reached.sum()):
        raise ModelError(f"{who}: the splits of a tree lead back to themselves")
    return levels


def _next(forest: Forest, nodes: Ints) -> Ints:
    return np.concatenate([forest.yes[nodes], forest.no[nodes]])


def _columns(forest: Forest, leaves: Ints, of_leaf: Ints) -> tuple[Ints, Floats]:
    """(targets[trees, votes], values[leaves, votes]): leaves' votes, one column per target."""
    row = np.full(len(forest.mode), -1)
    row[leaves] = np.arange(len(leaves))
    votes = forest.votes
    kept = row[votes.at] >= 0
    at, target, weight = row[votes.at[kept]], votes.target[kept], votes.weight[kept]
    span = int(target.max(initial=0)) + 1
    pairs, which = np.unique(of_leaf[at] * span + target, return_inverse=True)
    tree, wanted = pairs // span, pairs % span
    column = np.arange(len(pairs)) - np.searchsorted(tree, tree)
    targets = np.zeros((len(forest.roots), int(column.max(initial=0)) + 1), np.int64)
    targets[tree, column] = wanted
    values = np.zeros((len(leaves), targets.shape[1]))
    np.add.at(values, (at, column[which]), weight)
    return targets, values


def _trees(forest: Forest) -> Ints:
    """Number of the tree every node belongs to, counted as roots are."""
    tree = np.full(len(forest.mode), -1)
    front, of = forest.roots, np.arange(len(forest.roots))
    while len(front):
        new = tree[front] < 0
        front, of = front[new], of[new]
        tree[front] = of
        inner = ~forest.leaves[front]
        of = np.r_[of[inner], of[inner]]
        front = _next(forest, front[inner])
    return tree


def chain_ends(forest: Forest, levels: list[Ints]) -> Ints:
    """The last split of the chain each split stands in.

    Splits on equality with several values, one after another with one way for yes, are how a set
    of categories is asked for; they are read as one split.
    """
    last = np.arange(len(forest.mode))
    after = np.where(forest.no >= 0, forest.no, 0)
    linked = (forest.mode == EQ) & (forest.mode[after] == EQ)
    linked &= (forest.feature[after] == forest.feature) & (forest.yes[after] == forest.yes)
    for level in reversed(levels):
        here = level[linked[level]]
        last[here] = last[forest.no[here]]
    return last


def _expectations(
    forest: Forest, levels: list[Ints], leaves: Ints, values: Floats, last: Ints
) -> Floats:
    """float64[nodes, votes]: what is expected at a node.

    The mean of the leaves below; weighted by how often the branches were taken where the file
    says so.
    """
    expected = np.zeros((len(forest.mode), values.shape[1]))
    weight = np.zeros(len(forest.mode))
    expected[leaves], weight[leaves] = values, 1
    hits = usable_hits(forest)
    for level in reversed(levels):
        inner = level[~forest.leaves[level]]
        ends = inner[last[inner] == inner]
        yes, no = forest.yes[ends], forest.no[ends]
        shares = [(weight if hits is None else hits)[side] for side in (yes, no)]
        both = shares[0] + shares[1]
        half = np.full_like(both, 0.5)
        part = np.divide(shares[0], both, out=half, where=both > 0)[:, None]
        expected[ends] = part * expected[yes] + (1 - part) * expected[no]
        weight[ends] = weight[yes] + weight[no]
        links = inner[last[inner] != inner]
        expected[links], weight[links] = expected[last[links]], weight[last[links]]
    return expected


def usable_hits(forest: Forest) -> Floats | None:
    """How often nodes were visited, if that is known of all (exporters write 1 for unknown)."""
    hits = forest.hits
    if hits is None or not np.isfinite(hits).all() or (hits < 0).any():
        return None
    return hits if hits.min() < hits.max() else None


def find_visits(forest: Forest, leaves: Ints, counts: Floats, who: str) -> Floats:
    """float64[nodes]: how often each node was visited, from how often each leaf was reached."""
    levels = find_levels(forest, who)
    last = chain_ends(forest, levels)
    visits = np.zeros(len(forest.mode))
    visits[leaves] = counts
    for level in reversed(levels):
        inner = level[~forest.leaves[level]]
        ends = inner[last[inner] == inner]
        visits[ends] = visits[forest.yes[ends]] + visits[forest.no[ends]]
        links = inner[last[inner] != inner]
        visits[links] = visits[last[links]]
    return visits


def find_parents(forest: Forest, reached: Ints, last: Ints, who: str) -> Ints:
    """A split that leads to every node, -1 at roots."""
    inner = reached[~forest.leaves[reached]]
    source, to = np.r_[inner, inner], _next(forest, inner)
    parent = np.full(len(forest.mode), -1)
    parent[to] = source
    several = last[source] != last[parent[to]]
    back = parent[forest.roots] >= 0
    if several.any() or back.any() or len(np.unique(forest.roots)) < len(forest.roots):
        raise RuleError(
            f"{who}: the ways of a tree meet again, so that a leaf does not tell what was asked "
            "before it; write the tree without shared nodes"
        )
    return parent


def _changes(
    forest: Forest, leaves: Ints, parent: Ints, expected: Floats, who: str
) -> tuple[Ints, Ints, Floats]:
    """(features, slots, changes) of `Paths`: steps from the leaves up, added by feature."""
    rows, asked, steps = _steps(forest, leaves, parent, expected, who)
    features, slot = np.unique(asked, return_inverse=True)
    features = features if len(features) else np.zeros(1, np.int64)
    used = len(features)
    pairs, which = np.unique(rows * used + slot, return_inverse=True)
    summed = np.zeros((len(pairs), expected.shape[1]))
    np.add.at(summed, which, steps)
    row = pairs // used
    place = np.arange(len(pairs)) - np.searchsorted(row, row)
    slots = np.full((len(leaves), int(place.max(initial=0)) + 1), -1)
    slots[row, place] = pairs % used
    changes = np.zeros((*slots.shape, expected.shape[1]))
    changes[row, place] = summed
    return features, slots, changes


def climb(leaves: Ints, parent: Ints, most: int, who: str) -> Iterator[tuple[Ints, Ints, Ints]]:
    """One level after another from leaves to roots: (row of the leaf, node, node above).

    Raises RuleError where there are more than `most` of these steps.
    """
    rows, here, count = np.arange(len(leaves)), leaves, 0
    while len(here):
        above = parent[here]
        rows, here, above = rows[above >= 0], here[above >= 0], above[above >= 0]
        count += len(here)
        if count > most:
            raise RuleError(f"{who}: the paths to its leaves are too long to be followed")
        yield rows, here, above
        here = above


def _steps(
    forest: Forest, leaves: Ints, parent: Ints, expected: Floats, who: str
) -> tuple[Ints, Ints, Floats]:
    """Row of the leaf, feature and change of every step up to a root that changes anything."""
    found: list[tuple[Ints, Ints, Floats]] = []
    for rows, here, above in climb(leaves, parent, _MOST_STEPS, who):
        change = expected[here] - expected[above]
        moves = change.any(axis=1)
        found.append((rows[moves], forest.feature[above[moves]], change[moves]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]
