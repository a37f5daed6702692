"""Counts of training, found in estimators and written into the trees exported from them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import backtrace_onnx as bt
from backtrace_onnx.exporters import ExportWarning, from_sklearn, sklearn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from sklearn import ensemble
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
RNG = np.random.default_rng(0)
X = RNG.standard_exponential((400, 5)).astype(np.float32)
X[:, 4] = RNG.integers(0, 9, len(X))
Y = X[:, 0] * (X[:, 1] > 2) + X[:, 2] ** 2 + 3 * np.isin(X[:, 4], [1, 4, 8])
THREE = np.digitize(Y, [1.0, 3.0])
Array = npt.NDArray[Any]


def relevance(path: Path) -> Array:
    """Contributions to the number that is predicted, [rows, features]."""
    found = bt.explain(path, X[:50], mode="epsilon(absolute=1e-6)", task="regression")
    return found.relevance["features"]


def hits(path: Path) -> list[list[float]]:
    """`nodes_hitrates` of every ensemble."""
    nodes = [n for n in onnx.load(path).graph.node if n.op_type.startswith("TreeEnsemble")]
    return [[*a.floats] for n in nodes for a in n.attribute if a.name == "nodes_hitrates"]


def agreement(a: Array, b: Array) -> float:
    """Mean correlation of rows."""
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]))


def uncounted(model: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> Array:
    """Relevance in the file as its converter wrote it."""
    with monkeypatch.context() as patch:
        patch.setattr(sklearn, "fill_visits", lambda *_: (0, 0))
        from_sklearn(model, X[:4], path, verify=False)
    return relevance(path)


@pytest.mark.parametrize("nodes", [None, 12], ids=["depth first", "best first"])
def test_forests_are_explained_with_the_means_of_their_training(
    nodes: int | None, tmp_path: Path
) -> None:
    model = ensemble.RandomForestRegressor(5, max_leaf_nodes=nodes, random_state=0).fit(X, Y)
    from_sklearn(model, X[:4], tmp_path / "m.onnx")
    want = np.zeros((50, 5))
    for tree in (e.tree_ for e in model.estimators_):
        for row, path in zip(want, tree.decision_path(X[:50]), strict=True):
            steps = np.diff(tree.value[path.indices, 0, 0])
            np.add.at(row, tree.feature[path.indices[:-1]], steps / 5)
    np.testing.assert_allclose(relevance(tmp_path / "m.onnx"), want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("categories", [False, True], ids=["numbers", "categories"])
def test_lightgbm_agrees_with_its_shap_values(
    categories: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxmltools")
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=20, min_child_samples=2, verbose=-1, cat_smooth=1)
    model.fit(X, Y, categorical_feature=[4] if categories else [])
    shap = model.predict(X[:50], pred_contrib=True)[:, :-1]
    from_sklearn(model, X[:4], tmp_path / "m.onnx")
    (counts,) = hits(tmp_path / "m.onnx")
    assert max(counts) == len(X)
    found = agreement(relevance(tmp_path / "m.onnx"), shap)
    before = agreement(uncounted(model, tmp_path / "u.onnx", monkeypatch), shap)
    assert found > 0.98 and before < 0.8


@pytest.mark.parametrize("categories", [False, True], ids=["numbers", "categories"])
def test_xgboost_agrees_with_its_shap_values(
    categories: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxmltools")
    xgboost = pytest.importorskip("xgboost")
    kinds = ["q", "q", "q", "q", "c" if categories else "q"]
    model = xgboost.XGBRegressor(
        n_estimators=20, max_depth=4, enable_categorical=categories, feature_types=kinds
    ).fit(X, Y)
    rows = xgboost.DMatrix(X[:50], enable_categorical=categories, feature_types=kinds)
    shap = model.get_booster().predict(rows, pred_contribs=True)[:, :-1]
    from_sklearn(model, X[:4], tmp_path / "m.onnx", verify=not categories)  # it tries fractions
    found = agreement(relevance(tmp_path / "m.onnx"), shap)
    before = agreement(uncounted(model, tmp_path / "u.onnx", monkeypatch), shap)
    assert found > 0.98 and before < 0.8


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), ensemble.ExtraTreesClassifier(3)),
        ensemble.GradientBoostingClassifier(n_estimators=3, max_depth=1),
        ensemble.AdaBoostClassifier(n_estimators=3),
        ensemble.BaggingClassifier(n_estimators=3, max_features=0.6),
        CalibratedClassifierCV(DecisionTreeClassifier(max_depth=3), cv=2),
        GridSearchCV(DecisionTreeClassifier(), {"max_depth": [2, 3]}),
        MultiOutputRegressor(DecisionTreeRegressor(max_depth=3)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_trees_are_found_wherever_they_are(model: Any, tmp_path: Path) -> None:
    target = np.c_[Y, -X[:, 0]] if isinstance(model, MultiOutputRegressor) else THREE
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExportWarning)
        from_sklearn(model.fit(X, target), X[:4], tmp_path / "m.onnx")
    assert hits(tmp_path / "m.onnx") and all(len(set(h)) > 1 for h in hits(tmp_path / "m.onnx"))


def test_trees_that_are_not_found_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ensemble.RandomForestRegressor(3, random_state=0).fit(X, Y)
    other = ensemble.RandomForestRegressor(3, random_state=1).fit(X, Y)
    fill = sklearn.fill_visits
    monkeypatch.setattr(sklearn, "fill_visits", lambda proto, _: fill(proto, other))
    with pytest.warns(ExportWarning, match="not known of 3 of 3 trees.*count_visits"):
        from_sklearn(model, X[:4], tmp_path / "m.onnx")
    assert set(hits(tmp_path / "m.onnx")[0]) == {1.0}
