"""SHAP values of exported trees against those that their own frameworks, and shap, tell."""

from __future__ import annotations

import warnings
from itertools import product
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import backtrace_onnx as bt
from backtrace_onnx.exporters import from_sklearn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from sklearn import ensemble
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.standard_exponential((500, 5)).astype(np.float32)
Y = X[:, 0] * (X[:, 1] > 1) + X[:, 2] ** 2 - X[:, 3]
TWO, THREE = (Y > 0.5).astype(int), np.digitize(Y, [0.0, 1.5])
ASKED = X[:40]


def shap(model: Any, folder: Path, target: int | None = None, **how: Any) -> Array:
    """What the exported file's columns add, [rows, columns]."""
    path = folder / "model.onnx"
    from_sklearn(model, X, path)
    task = "regression" if target is None else "classification"
    made = bt.explain(path, ASKED, mode="shap", task=task, target=target, **how)
    total = made.ledger.total()
    left = total.start - total.inputs - total.constants
    np.testing.assert_allclose(left, 0, atol=1e-5)
    return np.asarray(made.relevance["features"])


def near(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "two", "three"])
def test_lightgbm_tells_the_same(kind: str, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    how = {"n_estimators": 12, "num_leaves": 9, "verbose": -1, "n_jobs": 1}
    made, y = {
        "regression": (lightgbm.LGBMRegressor, Y),
        "two": (lightgbm.LGBMClassifier, TWO),
        "three": (lightgbm.LGBMClassifier, THREE),
    }[kind]
    model = made(**how).fit(X, y)
    wanted = model.booster_.predict(ASKED, pred_contrib=True, num_threads=1)
    if kind == "three":
        wanted = wanted.reshape(len(ASKED), 3, -1)
        for target in range(3):
            near(shap(model, tmp_path, target), wanted[:, target, :-1])
        return
    near(shap(model, tmp_path, 1 if kind == "two" else None), wanted[:, :-1])


@pytest.mark.parametrize("kind", ["regression", "two", "three"])
def test_xgboost_tells_the_same(kind: str, tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    made, y = {
        "regression": (xgboost.XGBRegressor, Y),
        "two": (xgboost.XGBClassifier, TWO),
        "three": (xgboost.XGBClassifier, THREE),
    }[kind]
    model = made(n_estimators=12, max_depth=4, n_jobs=1).fit(X, y)
    wanted = model.get_booster().predict(xgboost.DMatrix(ASKED), pred_contribs=True)
    if kind == "three":
        for target in range(3):
            near(shap(model, tmp_path, target), wanted[:, target, :-1])
        return
    near(shap(model, tmp_path, 1 if kind == "two" else None), wanted[..., :-1])


FORESTS = {
    "forest": (ensemble.RandomForestRegressor(8, max_depth=6, random_state=0), Y),
    "classes": (ensemble.RandomForestClassifier(8, max_depth=5, random_state=0), THREE),
    "boosted": (ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0), Y),
}


@pytest.mark.parametrize("name", FORESTS)
@pytest.mark.parametrize("backed", [False, True])
def test_shap_tells_the_same(name: str, backed: bool, tmp_path: Path) -> None:
    package = pytest.importorskip("shap")
    model, y = FORESTS[name]
    model.fit(X, y)
    rows = X[100:150]
    explainer = package.TreeExplainer(model, rows if backed else None)
    wanted = explainer.shap_values(ASKED, check_additivity=False)
    how = {"background": rows} if backed else {}
    if name != "classes":
        near(shap(model, tmp_path, **how), wanted)
        return
    for target in range(3):
        near(shap(model, tmp_path, target, **how), wanted[..., target])


def test_a_scaler_before_the_trees_changes_nothing(tmp_path: Path) -> None:
    trees = ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0)
    scaled = make_pipeline(StandardScaler(), trees).fit(X, Y)
    background = X[:30]
    near(
        shap(scaled, tmp_path, background=background),
        _alone(scaled, tmp_path, background),
    )


def _alone(scaled: Any, folder: Path, background: Array) -> Array:
    """The trees by themselves, of columns that are scaled already."""
    scaler, trees = scaled.named_steps.values()
    path = folder / "trees.onnx"
    moved = scaler.transform(X).astype(np.float32)
    from_sklearn(trees, moved, path)
    rows = scaler.transform(background).astype(np.float32)
    made = bt.explain(path, moved[:40], mode="shap", task="regression", background=rows)
    return np.asarray(made.relevance["features"])


@pytest.mark.parametrize("mode", ["shap", "deeplift"])
def test_rows_of_a_background_may_lack_values_as_inputs_may(mode: str, tmp_path: Path) -> None:
    """Against every set of columns, of a booster that was trained with missing values."""
    rng, columns = np.random.default_rng(5), 4
    holes = np.where(rng.random((200, columns)) < 0.3, np.nan, X[:200, :columns])
    holes = holes.astype(np.float32)
    trees = ensemble.HistGradientBoostingRegressor(max_iter=10, random_state=0).fit(holes, Y[:200])
    rows, asked, path = holes[:12], holes[20:24], tmp_path / "trees.onnx"
    from_sklearn(trees, holes[:2], path)
    how = {"baseline": "rows"} if mode == "deeplift" else {}
    explainer = bt.Explainer(path)
    made = explainer.explain(asked, mode=mode, task="regression", background=rows, **how)
    (got,) = made.relevance.values()
    subsets = np.array([*product([False, True], repeat=columns)])
    for x, r in zip(asked, got, strict=True):
        mixed = np.where(subsets[:, None], x, rows).reshape(-1, columns)
        worth = trees.predict(mixed).reshape(len(subsets), -1).mean(1)
        for j in range(columns):
            without = subsets[~subsets[:, j]]
            size = without.sum(1)
            weight = [factorial(k) * factorial(columns - 1 - k) / factorial(columns) for k in size]
            gain = worth[subsets[:, j]] - worth[~subsets[:, j]]
            np.testing.assert_allclose(r[j], gain @ np.array(weight), rtol=1e-3, atol=1e-3)
    with pytest.raises(bt.RequestError, match="holds NaN or Inf"):
        bad = np.where(np.isnan(rows), np.inf, rows)
        explainer.explain(asked, mode=mode, task="regression", background=bad, **how)


@pytest.mark.parametrize("seed", [0, 4])  # of 4 shap's own TreeExplainer is off by up to 30 %
def test_three_classes_against_a_background_are_all_subsets(seed: int, tmp_path: Path) -> None:
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    forest = ensemble.RandomForestClassifier(5, max_depth=4, random_state=seed).fit(x, y)
    rows, asked = x[seed::15], x[::15]
    from_sklearn(forest, x, tmp_path / "forest.onnx")
    explainer = bt.Explainer(tmp_path / "forest.onnx")
    value = {}  # of all sets of present columns: the mean answer with the others of the rows
    for present in product([False, True], repeat=4):
        mixed = np.where(present, asked[:, None], rows)
        found = forest.predict_proba(mixed.reshape(-1, 4)).reshape(len(asked), len(rows), 3)
        value[present] = found.mean(1)
    want = np.zeros((len(asked), 4, 3))
    for present, worth in value.items():
        for column in np.flatnonzero(np.logical_not(present)):
            more = tuple(one or i == column for i, one in enumerate(present))
            n = sum(present)
            want[:, column] += factorial(n) * factorial(3 - n) / 24 * (value[more] - worth)
    for target in range(3):
        how = {"mode": "shap", "target": target, "task": "classification"}
        made = explainer.explain(asked, background=rows, **how)
        (got,) = made.relevance.values()
        np.testing.assert_allclose(got, want[:, :, target], atol=1e-6)
