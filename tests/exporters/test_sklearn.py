"""From estimators and pipelines to .onnx: right, verified, or refused."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx import ExportError
from backtrace_onnx.exporters import from_sklearn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    from sklearn.cluster import KMeans
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import (
        GradientBoostingRegressor,
        IsolationForest,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import LinearSVC, OneClassSVM

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
X = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
TWO = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
LINEAR = X @ np.arange(5, dtype=np.float32)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (LogisticRegression(), THREE),
        (LogisticRegression(), np.array(["low", "mid", "high"])[THREE]),
        (LinearSVC(), TWO),
        (RandomForestClassifier(5, random_state=0), THREE),
        (make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=20)), TWO),
    ],
)
def test_classifiers(model: Any, target: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, target)
    made = from_sklearn(model, X[:4], tmp_path / "m.onnx")
    assert made.inputs == {"features": "float32[batch, 5]"}
    assert list(made.outputs) == ["label", "probabilities"] and made.difference < 1e-5
    explained = bt.explain(tmp_path / "m.onnx", X[:3])
    assert explained.output == "probabilities"
    assert explained.ledger.total().relative_residual < 1e-4


@pytest.mark.parametrize("model", [LinearRegression(), GradientBoostingRegressor(n_estimators=5)])
def test_regressors(model: Any, tmp_path: Path) -> None:
    made = from_sklearn(model.fit(X, LINEAR), X[:4], tmp_path / "m.onnx")
    assert list(made.outputs) == ["variable"] and made.verified


def test_transformers_and_clusters(tmp_path: Path) -> None:
    assert from_sklearn(StandardScaler().fit(X), X[:4], tmp_path / "s.onnx").verified
    made = from_sklearn(KMeans(3, n_init=1).fit(X), X[:4], tmp_path / "k.onnx")
    assert list(made.outputs) == ["label", "scores"]


@pytest.mark.parametrize("model", [IsolationForest(n_estimators=3), OneClassSVM()])
def test_detectors_of_outliers(model: Any, tmp_path: Path) -> None:
    made = from_sklearn(model.fit(X), X[:4], tmp_path / "m.onnx")
    assert list(made.outputs) == ["label", "scores"] and made.verified


@pytest.mark.parametrize(
    ("package", "kind"),
    [("lightgbm", "LGBM"), ("xgboost", "XGB")],
)
def test_boosted_trees(package: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxmltools")
    boosted = pytest.importorskip(package)
    options = {"n_estimators": 5, "verbosity": -1 if package == "lightgbm" else 0}
    classifier = getattr(boosted, f"{kind}Classifier")(**options).fit(X, THREE)
    assert from_sklearn(classifier, X[:4], tmp_path / "c.onnx").verified
    regressor = getattr(boosted, f"{kind}Regressor")(**options)
    pipeline = make_pipeline(StandardScaler(), regressor).fit(X, LINEAR)
    assert from_sklearn(pipeline, X[:4], tmp_path / "r.onnx").verified


def test_a_table_has_an_input_per_column(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "age": random.uniform(18, 80, 50),
            "hours": random.integers(1, 60, 50),
            "work": random.choice(["private", "state"], 50),
        }
    )
    columns = make_column_transformer(
        (StandardScaler(), ["age", "hours"]), (OneHotEncoder(), ["work"])
    )
    model = make_pipeline(columns, LogisticRegression())
    model.fit(table, table["age"] + table["hours"] > 80)
    made = from_sklearn(model, table[:6], tmp_path / "t.onnx")
    assert made.inputs == {
        "age": "float32[batch, 1]",
        "hours": "int64[batch, 1]",
        "work": "string[batch, 1]",
    }
    session = ort.InferenceSession(str(tmp_path / "t.onnx"), providers=["CPUExecutionProvider"])
    feeds = {
        "age": table[["age"]].to_numpy(np.float32),
        "hours": table[["hours"]].to_numpy(),
        "work": table[["work"]].to_numpy(object),
    }
    np.testing.assert_array_equal(session.run(["label"], feeds)[0], model.predict(table))


def test_refusals(tmp_path: Path) -> None:
    path, fitted = tmp_path / "m.onnx", LogisticRegression().fit(X, TWO)
    with pytest.raises(ExportError, match="skl2onnx cannot convert LogisticRegression"):
        from_sklearn(LogisticRegression(), X[:4], path)
    with pytest.raises(ExportError, match="cannot convert Odd: "):
        from_sklearn(Odd(), X[:4], path)
    with pytest.raises(ExportError, match=r"must be rows of numbers.*float32\[5\]"):
        from_sklearn(fitted, X[0], path)
    with pytest.raises(ExportError, match="column 'b' holds neither numbers nor texts"):
        from_sklearn(fitted, {"a": [1.0], "b": [None]}, path)
    with pytest.raises(ExportError, match="opset 99: skl2onnx"):
        from_sklearn(fitted, X[:4], path, opset=99)
    assert not list(tmp_path.iterdir())


class Odd(LocalOutlierFactor):  # type: ignore[misc]
    """An estimator without a converter."""


def test_a_wrong_model_is_refused(tmp_path: Path) -> None:
    class Shifted(LinearRegression):  # type: ignore[misc]
        def predict(self, given: Any) -> Any:
            return super().predict(given) + 1

    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
    from skl2onnx.operator_converters.linear_regressor import convert_sklearn_linear_regressor

    update_registered_converter(
        Shifted,
        "Shifted",
        calculate_linear_regressor_output_shapes,
        convert_sklearn_linear_regressor,
    )
    with pytest.raises(ExportError, match="output 'variable' on the example: largest difference 1"):
        from_sklearn(Shifted().fit(X, LINEAR), X[:4], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_pip_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sklearn", "skl2onnx"):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ExportError, match=r"pip install 'backtrace-onnx\[sklearn\]'"):
            from_sklearn(None, X, tmp_path / "m.onnx")
