"""How often training came by the nodes of trees: what estimators keep and converters leave out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx

from backtrace_onnx.exporters.sklearn_parts import parts
from backtrace_onnx.trees.forest import EQ, LEAF, Forest
from backtrace_onnx.trees.paths import find_visits
from backtrace_onnx.trees.visits import listed_forests, write_visits

T = TypeVar("T")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grown:
    """A tree in the order root, all behind yes, all behind no.

    Attributes:
        features: what is asked; -1 at leaves.
        thresholds: NaN at leaves and where categories are asked for.
        counts: (weighted) training samples at the leaves.
    """

    features: tuple[int, ...]
    thresholds: Floats
    counts: Floats


def fill_visits(proto: onnx.ModelProto, model: Any) -> tuple[int, int]:
    """Write the counts that the parts of a fitted estimator keep into the trees exported from it.

    A tree of the file is found again by what it asks. (trees found, all trees of the file); an
    ensemble of which not all are found stays as it is.
    """
    known: dict[tuple[int, ...], list[Grown]] = {}
    for tree in grown(model):
        known.setdefault(tree.features, []).append(tree)
    found = count = 0
    for node, forest in listed_forests(proto):
        outlines = [_outline(forest, int(root)) for root in forest.roots]
        trees = [_take(known.get(features, []), asked) for features, asked, _ in outlines]
        count, found = count + len(trees), found + sum(tree is not None for tree in trees)
        counts = [tree.counts for tree in trees if tree is not None]
        if len(counts) == len(trees):
            leaves = np.concatenate([leaves for _, _, leaves in outlines])
            write_visits(node, find_visits(forest, leaves, np.concatenate(counts), node.name))
    return found, count


def _take(same: list[Grown], thresholds: Floats) -> Grown | None:
    """The first tree with these thresholds, which then comes last: files keep the order."""
    for i, tree in enumerate(same):
        if np.allclose(tree.thresholds, thresholds, rtol=1e-4, atol=1e-6, equal_nan=True):
            same.append(same.pop(i))
            return tree
    return None


def _outline(forest: Forest, root: int) -> tuple[tuple[int, ...], Floats, npt.NDArray[np.int64]]:
    """(features, thresholds, leaves) of an exported tree, as `Grown` has them."""

    def after(node: int) -> tuple[int, ...]:
        if forest.mode[node] == LEAF:
            return ()
        while _asks_on(forest, node):
            node = int(forest.no[node])
        return int(forest.yes[node]), int(forest.no[node])

    nodes = np.array(_walk(root, after))
    mode = forest.mode[nodes]
    features = np.where(mode == LEAF, -1, forest.feature[nodes])
    thresholds = np.where((mode == LEAF) | (mode == EQ), np.nan, forest.threshold[nodes])
    return tuple(features.tolist()), thresholds.astype(np.float64), nodes[mode == LEAF]


def _asks_on(forest: Forest, node: int) -> bool:
    """Whether the next split asks for one more category of the same set."""
    after = int(forest.no[node])
    return bool(
        forest.mode[node] == forest.mode[after] == EQ
        and forest.feature[node] == forest.feature[after]
        and forest.yes[node] == forest.yes[after]
    )


def _walk(root: T, after: Callable[[T], tuple[T, ...]]) -> list[T]:
    """Nodes of a tree: root, all behind yes, all behind no."""
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting.extend(reversed(after(found[-1])))
    return found


def grown(model: Any) -> Iterator[Grown]:
    """The trees of a fitted estimator and of those inside of it."""
    for part in parts(model):
        if hasattr(part, "tree_"):
            yield _of_sklearn(part.tree_)
        elif hasattr(part, "is_categorical_") and hasattr(part, "_predictors"):
            for stage in part._predictors:
                yield from (_of_histogram(tree.nodes) for tree in stage)
        elif hasattr(part, "booster_"):
            for tree in part.booster_.dump_model()["tree_info"]:
                yield _of_lightgbm(tree["tree_structure"])
        elif hasattr(part, "get_booster"):
            yield from _of_xgboost(part.get_booster())


def _of_sklearn(tree: Any) -> Grown:
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    nodes = np.array(_walk(0, lambda i: () if left[i] < 0 else (left[i], right[i])))
    leaf = tree.children_left[nodes] < 0
    return Grown(
        tuple(np.where(leaf, -1, tree.feature[nodes]).tolist()),
        np.where(leaf, np.nan, tree.threshold[nodes]),
        tree.weighted_n_node_samples[nodes][leaf],
    )


def _of_histogram(tree: Any) -> Grown:
    """Of scikit-learn's histogram gradient boosting, from its table of nodes."""

    def after(i: int) -> tuple[int, ...]:
        node = tree[i]
        return () if node["is_leaf"] else (int(node["left"]), int(node["right"]))

    nodes = np.array(_walk(0, after))
    leaf = tree["is_leaf"][nodes].astype(bool)
    return Grown(
        tuple(np.where(leaf, -1, tree["feature_idx"][nodes]).tolist()),
        np.where(leaf, np.nan, tree["num_threshold"][nodes]),
        tree["count"][nodes][leaf].astype(np.float64),
    )


def _of_lightgbm(root: dict[str, Any]) -> Grown:
    def after(node: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        return (node["left_child"], node["right_child"]) if "left_child" in node else ()

    nodes = _walk(root, after)
    return Grown(
        tuple(node.get("split_feature", -1) for node in nodes),
        np.array([_number(node.get("threshold")) for node in nodes]),
        np.array([node.get("leaf_count", 1) for node in nodes if "leaf_value" in node], float),
    )


def _of_xgboost(booster: Any) -> Iterator[Grown]:
    """Its cover, the sum of the loss's second derivatives: samples, where the loss is squared."""

    def after(node: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        of = {child["nodeid"]: child for child in node.get("children", ())}
        return (of[node["yes"]], of[node["no"]]) if of else ()

    names = {name: i for i, name in enumerate(booster.feature_names or ())}
    for text in booster.get_dump(with_stats=True, dump_format="json"):
        nodes = _walk(json.loads(text), after)
        asked = [node.get("split") for node in nodes]
        yield Grown(
            tuple(-1 if s is None else names[s] if s in names else int(s[1:]) for s in asked),
            np.array([_number(node.get("split_condition")) for node in nodes]),
            np.array([node["cover"] for node in nodes if "leaf" in node], float),
        )


def _number(threshold: Any) -> float:
    """A threshold; NaN for leaves and sets of categories."""
    return float(threshold) if isinstance(threshold, int | float) else float("nan")
