"""Decision trees as plain arrays, whichever of ONNX's three operators they were written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from backtrace_onnx.errors import ModelError, RuleError
from backtrace_onnx.graph.graph import Node

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER", "LEAF")
EQ, MEMBER, LEAF = MODES.index("EQ"), MODES.index("MEMBER"), MODES.index("LEAF")


@dataclass(frozen=True)
class Votes:
    """What leaves answer: `weight` for `target`, float64 and int64 [votes], cast at node `at`."""

    at: Ints
    target: Ints
    weight: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Forest:
    """Trees laid one after another; every array has one entry per node.

    Attributes:
        mode: index into `MODES`; a leaf asks nothing.
        threshold: float32 or float64, as inputs are compared.
        missing: whether NaN goes the way of `yes`.
        yes, no: the nodes asked next; -1 at leaves.
        hits: how often a node was visited, as far as the file says; else None.
        roots: int64[trees].
    """

    tree: Ints
    feature: Ints
    mode: Ints
    threshold: Array
    missing: npt.NDArray[np.bool_]
    yes: Ints
    no: Ints
    hits: npt.NDArray[np.float64] | None
    roots: Ints
    votes: Votes

    @property
    def leaves(self) -> npt.NDArray[np.bool_]:
        """Which nodes are leaves."""
        return np.asarray(self.mode == LEAF)


def read_listed(node: Node, votes: str) -> Forest:
    """Trees of a TreeEnsembleRegressor (votes "target") or TreeEnsembleClassifier ("class").

    Raises ModelError where they are none: lists of unequal length, node numbers given twice or
    asked for in vain.
    """
    lists = _Lists(node)
    trees, ids = lists.ints("nodes_treeids"), lists.ints("nodes_nodeids")
    find = _finder(node, trees, ids)
    count = len(trees)
    mode = _modes(node, lists.of("nodes_modes", count))
    inner = mode != LEAF
    children = {}
    for side in ("true", "false"):
        child = lists.ints(f"nodes_{side}nodeids", count)
        children[side] = np.full(count, -1)
        children[side][inner] = find(trees[inner], child[inner], "a split leads to")
    starts = np.flatnonzero(np.r_[True, trees[1:] != trees[:-1]])
    if len(starts) != len(np.unique(trees)):
        raise RuleError(f"{_who(node)}: the nodes of its trees are listed interleaved")
    hits = lists.numbers("nodes_hitrates", count)
    return Forest(
        np.cumsum(np.r_[False, trees[1:] != trees[:-1]]),
        lists.ints("nodes_featureids", count),
        mode,
        lists.thresholds("nodes_values", count),
        lists.ints("nodes_missing_value_tracks_true", count, default=0) != 0,
        children["true"],
        children["false"],
        None if hits is None else hits,
        starts,
        _votes(lists, votes, find),
    )


def read_rooted(node: Node) -> Forest:
    """Trees of a TreeEnsemble (ai.onnx.ml 5): splits and leaves are numbered apart.

    A split on membership becomes one split per member, with the same way for yes.
    """
    lists = _Lists(node)
    feature = lists.ints("nodes_featureids")
    splits = len(feature)
    mode = np.array(lists.tensor("nodes_modes", splits), np.int64)
    weights = lists.tensor("leaf_weights")
    targets = lists.ints("leaf_targetids", len(weights))
    _require(node, bool(((mode >= 0) & (mode <= MEMBER)).all()), "a split has an unknown mode")
    sides = []
    for side in ("true", "false"):
        to = lists.ints(f"nodes_{side}nodeids", splits)
        leaf = lists.ints(f"nodes_{side}leafs", splits) != 0
        fits = (to >= 0) & (to < np.where(leaf, len(weights), splits))
        _require(node, bool(fits.all()), "a split leads to a node that does not exist")
        sides.append(np.where(leaf, to + splits, to))
    roots = lists.ints("tree_roots")
    _require(node, bool(((roots >= 0) & (roots < splits)).all()), "a root does not exist")
    leaves = len(weights)
    thresholds = lists.tensor("nodes_splits", splits)
    whole = Forest(
        np.zeros(splits + leaves, np.int64),
        np.r_[feature, np.zeros(leaves, np.int64)],
        np.r_[mode, np.full(leaves, LEAF)],
        np.r_[thresholds, np.zeros(leaves, thresholds.dtype)],
        np.r_[
            lists.ints("nodes_missing_value_tracks_true", splits, default=0) != 0,
            np.zeros(leaves, bool),
        ],
        np.r_[sides[0], np.full(leaves, -1)],
        np.r_[sides[1], np.full(leaves, -1)],
        None,
        roots,
        Votes(np.arange(splits, splits + leaves), targets, weights.astype(np.float64)),
    )
    return _members_apart(node, whole, lists)


def _members_apart(node: Node, forest: Forest, lists: _Lists) -> Forest:
    """Every split on membership as a chain of splits on equality."""
    at = np.flatnonzero(forest.mode == MEMBER)
    if not len(at):
        return forest
    sets = _sets(lists.tensor("membership_values"))
    _require(node, len(sets) == len(at), "its membership values do not fit its splits")
    mode, threshold = forest.mode.copy(), forest.threshold.copy()
    no, count = forest.no.copy(), len(forest.mode)
    added: dict[str, list[Any]] = {"at": [], "value": [], "no": []}
    for split, values in zip(at.tolist(), sets, strict=True):
        mode[split], threshold[split] = EQ, values[0]
        last = no[split]
        for k, value in enumerate(values[1:]):
            if k == 0:
                no[split] = count + len(added["at"])
            more = k + 2 < len(values)
            added["at"].append(split)
            added["value"].append(value)
            added["no"].append(count + len(added["at"]) if more else last)
    from_ = np.array(added["at"], np.int64)
    return Forest(
        np.r_[forest.tree, forest.tree[from_]],
        np.r_[forest.feature, forest.feature[from_]],
        np.r_[mode, np.full(len(from_), EQ)],
        np.r_[threshold, np.array(added["value"], threshold.dtype)],
        np.r_[forest.missing, forest.missing[from_]],
        np.r_[forest.yes, forest.yes[from_]],
        np.r_[no, np.array(added["no"], np.int64)],
        None,
        forest.roots,
        forest.votes,
    )


def _sets(values: Array) -> list[Array]:
    """Members between NaNs."""
    ends = np.flatnonzero(np.isnan(values))
    parts = np.split(values, ends)
    found = [part[~np.isnan(part)] for part in parts]
    return [part for part in found if len(part)]


def _votes(lists: _Lists, kind: str, find: Callable[..., Ints]) -> Votes:
    weight = lists.numbers(f"{kind}_weights")
    weight = np.zeros(0) if weight is None else weight
    trees = lists.ints(f"{kind}_treeids", len(weight), default=0)
    at = find(trees, lists.ints(f"{kind}_nodeids", len(weight), default=0), "a vote is cast at")
    return Votes(at, lists.ints(f"{kind}_ids", len(weight), default=0), weight)


def _modes(node: Node, names: Sequence[str]) -> Ints:
    known = {f"BRANCH_{name}": i for i, name in enumerate(MODES[:MEMBER])} | {"LEAF": LEAF}
    used, where = np.unique(np.array(names, str), return_inverse=True)
    strange = [str(name) for name in used if name not in known]
    _require(node, not strange, f"unknown split mode {strange[:1]}")
    return np.array([known[str(name)] for name in used], np.int64)[where]


def _finder(node: Node, trees: Ints, ids: Ints) -> Callable[[Ints, Ints, str], Ints]:
    """`(tree, id, what) -> ` positions in the lists."""
    _require(node, len(trees) == len(ids) > 0, "it has no nodes, or as many trees as ids")
    of_tree, of_id = np.unique(trees), np.unique(ids)

    def key(tree: Ints, number: Ints) -> Ints:
        ranks = [np.searchsorted(have, x) for have, x in ((of_tree, tree), (of_id, number))]
        known = [
            (rank < len(have)) & (have[np.minimum(rank, len(have) - 1)] == x)
            for rank, have, x in zip(ranks, (of_tree, of_id), (tree, number), strict=True)
        ]
        return np.where(known[0] & known[1], ranks[0] * len(of_id) + ranks[1], -1)

    keys = key(trees, ids)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        again = order[twice[0]]
        raise ModelError(f"{_who(node)}: node {ids[again]} of tree {trees[again]} is given twice")

    def find(tree: Ints, number: Ints, what: str) -> Ints:
        wanted = key(tree, number)
        place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        missing = np.flatnonzero(ordered[place] != wanted)
        if len(missing):
            k = missing[0]
            raise ModelError(
                f"{_who(node)}: {what} node {number[k]} of tree {tree[k]}, which does not exist"
            )
        found: Ints = order[place]
        return found

    return find


class _Lists:
    """The attributes of a node as arrays, checked for their lengths."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._given: Mapping[str, Any] = node.attributes

    def of(self, name: str, count: int | None = None) -> Any:
        """An attribute as it is."""
        found = self._given.get(name, ())
        _require(
            self.node,
            count is None or len(found) == count,
            f"{name} has {len(found)} entries, not {count}",
        )
        return found

    def ints(self, name: str, count: int | None = None, default: int | None = None) -> Ints:
        """int64[count]; all `default` where it is left out."""
        if default is not None and not len(self.of(name)):
            return np.full(count or 0, default, np.int64)
        return np.array(self.of(name, count), np.int64)

    def tensor(self, name: str, count: int | None = None) -> Array:
        """A tensor attribute, flat."""
        given = self._given.get(name)
        array = np.zeros(0, np.float32) if given is None else numpy_helper.to_array(given).ravel()
        text = f"{name} has {len(array)} entries, not {count}"
        _require(self.node, count is None or len(array) == count, text)
        return array

    def numbers(self, name: str, count: int | None = None) -> npt.NDArray[np.float64] | None:
        """float64[count] of a list or its `_as_tensor` form; None where neither is given."""
        if f"{name}_as_tensor" in self._given:
            return self.tensor(f"{name}_as_tensor", count).astype(np.float64)
        return np.array(self.of(name, count), np.float64) if len(self.of(name)) else None

    def thresholds(self, name: str, count: int) -> Array:
        """float32[count], or float64[count] where they are given as a tensor of such."""
        if f"{name}_as_tensor" in self._given:
            return self.tensor(f"{name}_as_tensor", count)
        return np.array(self.of(name, count), np.float32)


def _who(node: Node) -> str:
    return f"{node.operator} node {node.name!r}"


def _require(node: Node, holds: bool, why: str) -> None:
    if not holds:
        raise ModelError(f"{_who(node)}: {why}")
