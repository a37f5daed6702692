"""The probabilities of ai.onnx.ml: signed modes start at the scores they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer

sklearn = pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.ensemble import GradientBoostingClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression, RidgeClassifier  # noqa: E402
from sklearn.svm import LinearSVC  # noqa: E402

ENGINES = ("numba", "onnxruntime")
X, Y = load_breast_cancer(return_X_y=True)
X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)


def explainer(model: Any, engine: Any, **options: Any) -> Explainer:
    made = skl2onnx.to_onnx(model, X[:1], options={id(model): options}, target_opset=20)
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
        made = built.explain(X, mode="epsilon", target=target)
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
        made = built.explain(X, mode="epsilon", target=target)
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
        made = built.explain(X[:40], mode="epsilon", target=target)
        total = made.ledger.total()
        assert total.start[0] == pytest.approx(scores[:, target], abs=1e-4)
        assert total.inputs + total.constants == pytest.approx(total.start, abs=1e-4)
        assert any("before it makes probabilities of them" in n.text for n in made.notes)
        maps.append(made.relevance[name])
    if classes == 2:
        assert np.array_equal(maps[0], -maps[1])
