"""Explanations in shap's plots, and as data frames."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.column_models import people
from tests.graphs import FLOAT, mlp, model, node, normal

X = normal(12, 4, seed=3)


@pytest.fixture
def shap(monkeypatch: pytest.MonkeyPatch) -> Any:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    return pytest.importorskip("shap")


def test_base_values_and_values_add_up_to_the_score(shap: Any) -> None:
    for mode in ("lrp", "default", "contrastive", "gradient_x_input"):
        made = Explainer(mlp()).explain(X, mode=mode)
        found = made.to_shap()
        assert isinstance(found, shap.Explanation) and found.shape == (12, 4)
        np.testing.assert_array_equal(found.values, made.relevance["x"].astype(np.float64))
        np.testing.assert_array_equal(found.data, X)
        scores = made.outputs["y"].max(1)
        if mode != "contrastive":  # its channels start alike
            np.testing.assert_allclose(found.values.sum(1) + found.base_values, scores, rtol=1e-5)
    compared = Explainer(mlp()).explain(X, mode="deeplift", baseline="zeros").to_shap()
    y = Explainer(mlp()).explain(np.concatenate([X, 0 * X]), target=0).outputs["y"]
    target = y[:12].argmax(1)
    differences = y[np.arange(12), target] - y[12, target]
    np.testing.assert_allclose(
        compared.values.sum(1) + compared.base_values, differences, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["bar", "beeswarm", "heatmap", "violin", "scatter"])
def test_plots_of_many_samples_take_it(shap: Any, kind: str) -> None:
    found = Explainer(mlp()).explain(X, mode="lrp").to_shap()
    given = found[:, 0] if kind == "scatter" else found
    getattr(shap.plots, kind)(given, show=False)


@pytest.mark.parametrize("kind", ["waterfall", "bar"])
def test_plots_of_one_sample_take_it(shap: Any, kind: str) -> None:
    getattr(shap.plots, kind)(Explainer(mlp()).explain(X, mode="lrp").to_shap()[0], show=False)


def test_force_and_decision_take_it(shap: Any) -> None:
    one = Explainer(mlp()).explain(X, mode="lrp").to_shap()[0]
    names = one.feature_names
    shap.plots.force(one.base_values, one.values, feature_names=names, matplotlib=True, show=False)
    shap.plots.decision(one.base_values, one.values, feature_names=names, show=False)


def pictures() -> Any:
    return model(
        [
            node("Conv", ["x", "k"], ["h"], "conv"),
            node("Relu", ["h"], ["a"], "relu"),
            node("GlobalAveragePool", ["a"], ["p"], "pool"),
            node("Flatten", ["p"], ["y"], "flat"),
        ],
        {"x": (FLOAT, ["N", 3, 8, 9])},
        {"y": (FLOAT, ["N", 2])},
        {"k": normal(2, 3, 3, 3, seed=1)},
    )


def test_pictures_keep_their_shape_channels_last(shap: Any) -> None:
    x = normal(2, 3, 8, 9, seed=4)
    made = Explainer(pictures()).explain(x, mode="cnn")
    found = made.to_shap()
    assert found.shape == (2, 8, 9, 3)
    np.testing.assert_array_equal(found.values[1, 2, 3], made.relevance["x"][1, :, 2, 3])
    shap.image_plot(found, show=False)


def test_columns_have_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{"age": 40.0 + k, "hours": 30 + k, "job": "cook"} for k in range(3)]
    made = Explainer(people()).explain(rows, mode="lrp")
    frame = made.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame.columns) == ["age", "hours", "job"]
    np.testing.assert_allclose(frame["hours"], made.relevance["hours"][:, 0])
    shap = pytest.importorskip("shap")
    found = made.to_shap()
    assert found.feature_names == ["age", "hours", "job"] and found.data[2].tolist()[2] == "cook"
    shap.plots.bar(found[0], show=False)
    plain = Explainer(mlp()).explain(X, mode="lrp").to_pandas()
    assert list(plain.columns) == [f"x[{k}]" for k in range(4)] and plain.shape == (12, 4)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Explainer(mlp()).explain(X)
    for library, call in (("shap", made.to_shap), ("pandas", made.to_pandas)):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(RequestError, match=f"pip install {library}"):
            call()
