"""Trees against exact SHAP values: Shapley's formula over all sets of columns, written out.

Boosted trees of scikit-learn on correlated columns, exported by `from_sklearn`. What a set of known
columns is worth has two meanings, and both are computed without this package's trees:

- visits: the score that scikit-learn's own nodes expect, both ways of a split that asks for a
  column that is not known weighted by the samples of the training that went there;
- background: the mean answer of the file in onnxruntime where unknown columns are those of a
  background's rows.

`known.py` prints the table.
"""

from __future__ import annotations

import tempfile
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import backtrace_onnx as bt
from backtrace_onnx.exporters import from_sklearn

COLUMNS, ASKED, BACKGROUND = 5, 40, 25
MODES = {
    "shap": ("shap", False),
    "shap, background": ("shap", True),
    "deeplift, background's rows": ("deeplift", True),
    "paths": ("paths", False),
    "lrp": ("lrp", False),
    "contrastive": ("contrastive", False),
    "default": ("default", False),
}


def fitted() -> tuple[Any, onnx.ModelProto, np.ndarray]:
    """Boosted trees, their file and the rows of the training."""
    from sklearn.ensemble import GradientBoostingRegressor

    rng = np.random.default_rng(0)
    mixed = np.eye(COLUMNS) + 0.5 * rng.standard_normal((COLUMNS, COLUMNS))
    x = (rng.standard_normal((400, COLUMNS)) @ mixed).astype(np.float32)
    y = x[:, 0] * (x[:, 1] > 0) + x[:, 2] ** 2 - x[:, 3] + np.abs(x[:, 4] * x[:, 0])
    model = GradientBoostingRegressor(n_estimators=20, max_depth=4, random_state=0).fit(x, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trees.onnx"
        from_sklearn(model, x, path)
        return model, onnx.load(path), x


def shapley(worth: np.ndarray) -> np.ndarray:
    """[rows, columns] of worth[sets, rows]: of set s the columns are known whose bits s has."""
    count = len(worth).bit_length() - 1
    made = np.zeros((worth.shape[1], count))
    for column in range(count):
        for known in (s for s in range(len(worth)) if not s >> column & 1):
            size = known.bit_count()
            part = factorial(size) * factorial(count - size - 1) / factorial(count)
            made[:, column] += part * (worth[known | 1 << column] - worth[known])
    return made


def by_visits(model: Any, x: np.ndarray) -> np.ndarray:
    """worth[sets, rows], by the nodes of scikit-learn."""

    def expected(tree: Any, node: int, known: int) -> np.ndarray:
        ways = tree.children_left[node], tree.children_right[node]
        if ways[0] < 0:
            return np.full(len(x), tree.value[node, 0, 0])
        left, right = (expected(tree, way, known) for way in ways)
        if known >> tree.feature[node] & 1:
            return np.where(x[:, tree.feature[node]] <= tree.threshold[node], left, right)
        part = tree.weighted_n_node_samples[ways[0]] / tree.weighted_n_node_samples[node]
        return part * left + (1 - part) * right

    trees, rate = [e.tree_ for e in model.estimators_[:, 0]], model.learning_rate
    return np.stack([rate * sum(expected(t, 0, s) for t in trees) for s in range(2**COLUMNS)])


def by_background(proto: onnx.ModelProto, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """worth[sets, rows], by the file's answers."""
    predict, made = bt.BlackBox(proto, batch=2048), []
    for known in range(2**COLUMNS):
        bits = np.array([known >> column & 1 for column in range(COLUMNS)], bool)
        mixed = np.where(bits, x[:, None], rows)
        answers = predict(mixed.reshape(-1, COLUMNS)).astype(np.float64)
        made.append(answers.reshape(len(x), len(rows)).mean(1))
    return np.stack(made)


def found() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Relevance by mode, and the exact values by their meaning, all [rows, columns]."""
    model, proto, x = fitted()
    asked, rows = x[:ASKED], x[ASKED : ASKED + BACKGROUND]
    right = {
        "visits": shapley(by_visits(model, asked)),
        "background": shapley(by_background(proto, asked, rows)),
    }
    explainer, made = bt.Explainer(proto), {}
    for name, (mode, backed) in MODES.items():
        more: dict[str, Any] = {"background": rows} if backed else {}
        if mode == "deeplift":
            more["baseline"] = "rows"
        one = explainer.explain(asked, mode=mode, task="regression", **more)
        made[name] = one.relevance["features"]
    return made, right
