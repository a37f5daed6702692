"""The probabilities of ai.onnx.ml: signed modes start at the scores they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer

sklearn = pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_iris  # noqa: E402
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier  # noqa: E402
from sklearn.linear_model import (  # noqa: E402
    LogisticRegression,
    PoissonRegressor,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: E402
from sklearn.svm import LinearSVC  # noqa: E402

ENGINES = ("numba", "onnxruntime")
X, Y = load_breast_cancer(return_X_y=True)
X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)


def explainer(model: Any, engine: Any, **options: Any) -> Explainer:
    row = np.zeros((1, model.n_features_in_), np.float32)
    made = skl2onnx.to_onnx(model, row, options={id(model): options}, target_opset=20)
    return Explainer(made, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("zipmap", [True, False])
def test_nobody_of_a_logistic_regression_is_explained_the_wrong_way_round(
    engine: str, zipmap: bool
) -> None:
    model = LogisticRegression(max_iter=500).fit(X, Y)
    built = explainer(model, engine, **({} if zipmap else {"zipmap": False}))
    (name,) = built.graph.inputs
    for target, sign in ((1, 1), (0, -1)):
        made = built.explain(X, mode="epsilon(absolute=1e-6)", target=target)
        assert np.allclose(made.relevance[name], sign * X * model.coef_[0], atol=1e-4)
        assert made.relevance[name].any(1).all()
        assert any("the input of Sigmoid" in note.text for note in made.notes)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [LinearSVC, RidgeClassifier])
def test_the_one_column_of_two_classes_is_asked_for_both(engine: str, kind: Any) -> None:
    """skl2onnx takes the second of two columns [-d, d]."""
    model = kind().fit(X, Y)
    built = explainer(model, engine)
    (name,) = built.graph.inputs
    for target, sign in ((1, 1), (0, -1)):
        made = built.explain(X, mode="epsilon(absolute=1e-6)", target=target)
        assert np.allclose(made.relevance[name], sign * X * model.coef_.ravel(), 1e-2, 1e-3)
        assert any("read as the score of class 1" in note.text for note in made.notes)
    assert built.explain(X).target.tolist() == model.predict(X).tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_trees_start_at_their_decision(engine: str, classes: int) -> None:
    labels = np.where(X[:, 0] > 1, 2, Y) if classes == 3 else Y
    model = GradientBoostingClassifier(n_estimators=4, random_state=0).fit(X, labels)
    built = explainer(model, engine, zipmap=False)
    (name,) = built.graph.inputs
    scores = model.decision_function(X[:40])
    if classes == 2:
        scores = np.stack([-scores, scores], 1)
    maps = []
    for target in range(classes):
        made = built.explain(X[:40], mode="epsilon(absolute=1e-6)", target=target)
        total = made.ledger.total()
        assert total.start[0] == pytest.approx(scores[:, target], abs=1e-4)
        assert total.inputs + total.constants == pytest.approx(total.start, abs=1e-4)
        assert any("before it makes probabilities of them" in n.text for n in made.notes)
        maps.append(made.relevance[name])
    if classes == 2:
        assert np.array_equal(maps[0], -maps[1])


FLOWERS, KINDS = load_iris(return_X_y=True)
FLOWERS = ((FLOWERS - FLOWERS.mean(0)) / FLOWERS.std(0)).astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["one against the rest", "sgd", "calibrated"])
def test_sigmoids_divided_by_their_sum_start_at_the_score_of_the_class(
    engine: str, how: str
) -> None:
    svc = LinearSVC(random_state=0)
    model = {
        "one against the rest": OneVsRestClassifier(LogisticRegression()),
        "sgd": SGDClassifier(loss="log_loss", random_state=0),
        "calibrated": CalibratedClassifierCV(svc, ensemble=False, cv=2),
    }[how].fit(FLOWERS, KINDS)
    slopes = np.stack([_slopes(model, how, k) for k in range(3)])
    built = explainer(model, engine, zipmap=False)
    (name,) = built.graph.inputs
    for target in range(3):
        made = built.explain(FLOWERS, mode="epsilon(absolute=1e-6)", target=target)
        assert np.allclose(made.relevance[name], FLOWERS * slopes[target], rtol=1e-3, atol=1e-3)
        (note,) = (note for note in made.notes if "relevance starts at" in note.text)
        assert not note.warning


def _slopes(model: Any, how: str, kind: int) -> Any:
    """What the score of a class grows with, by feature."""
    if how == "sgd":
        return model.coef_[kind]
    if how == "one against the rest":
        return model.estimators_[kind].coef_[0]
    (calibrated,) = model.calibrated_classifiers_
    return -calibrated.calibrators[kind].a_ * calibrated.estimator.coef_[kind]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_logarithmic_link_starts_at_the_linear_predictor(engine: str) -> None:
    model = PoissonRegressor().fit(X, Y / 4)
    built = explainer(model, engine)
    (name,) = built.graph.inputs
    made = built.explain(X, mode="epsilon(absolute=1e-6)")
    assert (np.log(model.predict(X)) < 0).any()
    assert np.allclose(made.relevance[name], X * model.coef_, atol=1e-4)
    assert made.ledger.total().start[0] == pytest.approx(np.log(model.predict(X)), abs=1e-4)


@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
def test_what_a_scaler_shifts_is_exact_and_no_explosion(scaler: Any) -> None:
    raw = load_breast_cancer().data.astype(np.float32)
    model = make_pipeline(scaler(), LogisticRegression(max_iter=500)).fit(raw, Y)
    built = Explainer(skl2onnx.to_onnx(model, raw[:1], target_opset=20))
    made = built.explain(raw, mode="epsilon(absolute=1e-6)", target=1)
    assert not any(note.warning for note in made.notes)
    scale, slopes = model[0].scale_, model[1].coef_[0]
    want = raw * (slopes / scale if scaler is StandardScaler else slopes * scale)
    found = made.relevance[built.graph.inputs[0]]  # nothing where a feature is scaled to just 0
    assert np.isclose(found, want, rtol=1e-2, atol=1e-2).mean() > 0.99


def test_the_mean_of_several_models_says_that_it_has_no_score() -> None:
    model = BaggingClassifier(LogisticRegression(), n_estimators=3, random_state=0).fit(X, Y)
    made = explainer(model, "numba", zipmap=False).explain(X[:3], mode="epsilon(absolute=1e-6)")
    assert any("made of probabilities" in note.text for note in made.notes)


@pytest.mark.parametrize("zipmap", [True, False])
def test_rows_of_trees_are_samples_without_a_word(zipmap: bool) -> None:
    model = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(FLOWERS, KINDS)
    assert not explainer(model, "numba", zipmap=zipmap).explain(FLOWERS[:7]).notes
