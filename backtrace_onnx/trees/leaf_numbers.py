"""Attributes of an ensemble whose trees answer with the number of the leaf that is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import numpy_helper

from backtrace_onnx.trees.paths import Paths

ML = "ai.onnx.ml"


def listed_numbers(given: Mapping[str, Any], paths: Paths, kind: str) -> dict[str, Any]:
    """Attributes of a TreeEnsembleRegressor whose tree t answers target t with a leaf's number.

    `given` are those of a TreeEnsembleRegressor (kind "target") or TreeEnsembleClassifier
    ("class"): leaves are found by the very comparisons that the operator makes.
    """
    made = {k: v for k, v in given.items() if k.startswith("nodes_") and "hitrates" not in k}
    numbers = np.arange(len(paths.leaves))
    if f"{kind}_weights_as_tensor" in given or "nodes_values_as_tensor" in given:
        made["target_weights_as_tensor"] = numpy_helper.from_array(numbers.astype(np.float64))
    else:
        made["target_weights"] = numbers.astype(float).tolist()
    return made | {
        "n_targets": len(paths.roots),
        "target_treeids": [given["nodes_treeids"][leaf] for leaf in paths.leaves],
        "target_nodeids": [given["nodes_nodeids"][leaf] for leaf in paths.leaves],
        "target_ids": paths.trees.tolist(),
    }


def rooted_numbers(given: Mapping[str, Any], paths: Paths) -> dict[str, Any]:
    """The same attributes of a TreeEnsemble (ai.onnx.ml 5), of those that are `given`."""
    made = {
        k: v
        for k, v in given.items()
        if k in ("tree_roots", "membership_values")
        or (k.startswith("nodes_") and "hitrates" not in k)
    }
    place = paths.leaves - len(given["nodes_featureids"])
    weights = np.zeros_like(numpy_helper.to_array(given["leaf_weights"]).ravel())
    trees = np.zeros(len(weights), np.int64)
    weights[place], trees[place] = np.arange(len(place)), paths.trees
    return made | {
        "n_targets": len(paths.roots),
        "leaf_targetids": trees.tolist(),
        "leaf_weights": numpy_helper.from_array(weights),
    }
