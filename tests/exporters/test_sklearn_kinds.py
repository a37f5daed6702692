"""Whatever skl2onnx converts and onnxruntime runs is exported and explained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx import ExportError
from backtrace_onnx.exporters import from_sklearn
from tests.checks import check_ledger

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn import (
    calibration,
    cluster,
    compose,
    discriminant_analysis,
    ensemble,
    feature_selection,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    preprocessing,
    svm,
)
from sklearn.feature_extraction import text
from sklearn.pipeline import make_pipeline

X = np.random.default_rng(0).standard_normal((120, 4)).astype(np.float32)
TWO = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
CODES = np.random.default_rng(1).integers(0, 3, (120, 3)).astype(np.float32)
WORDS = np.random.default_rng(2).choice(np.array(["a", "b", "c"], object), (120, 2))
TEXTS = [" ".join(row) for row in np.random.default_rng(3).choice(["good", "bad", "it"], (120, 4))]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the trainers and converters warn of is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def exported(model: Any, rows: Any, path: Path) -> list[Any]:
    """Export, run, explain in every mode with a closed ledger; what the file answers."""
    from_sklearn(model, rows[:12], path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.asarray(rows[:6])
    x = x.astype(object) if x.dtype.kind == "U" else x
    feeds = {"features": x if x.ndim == 2 else x[:, None]}
    explainer = bt.Explainer(path)
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        check_ledger(explainer.explain(feeds, mode=mode), each=True)
    return list(session.run(None, feeds))


SCORING: dict[str, Callable[[], Any]] = {
    "vectors": svm.SVC,
    "vectors of nu": lambda: svm.NuSVC(kernel="poly"),
    "linear vectors behind a scaler": lambda: make_pipeline(
        preprocessing.StandardScaler(), svm.LinearSVC()
    ),
    "gradient descent": linear_model.SGDClassifier,
    "perceptron": linear_model.Perceptron,
    "passive aggressive": linear_model.PassiveAggressiveClassifier,
    "ridge": linear_model.RidgeClassifier,
    "one against all, of vectors": lambda: multiclass.OneVsRestClassifier(svm.LinearSVC()),
    "one against all, of ridges": lambda: multiclass.OneVsRestClassifier(
        linear_model.RidgeClassifier()
    ),
    "searched": lambda: model_selection.GridSearchCV(svm.LinearSVC(), {"C": [0.1, 1]}, cv=2),
    "one against one": lambda: multiclass.OneVsOneClassifier(svm.LinearSVC()),
}


@pytest.mark.parametrize("name", SCORING)
@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_the_estimator_class_by_class(
    name: str, classes: int, tmp_path: Path
) -> None:
    """The score of the predicted class is the largest: explanations of it are of that class."""
    model = SCORING[name]().fit(X, TWO if classes == 2 else THREE)
    label, scores = exported(model, X, tmp_path / "m.onnx")
    wanted = model.decision_function(X[:6])
    assert label.tolist() == model.predict(X[:6]).tolist()
    np.testing.assert_allclose(scores[:, -1], wanted if classes == 2 else wanted[:, -1], rtol=1e-3)
    assert scores.argmax(axis=1).tolist() == label.tolist()


LINEAR: dict[str, Callable[[], Any]] = {
    "linear vectors": svm.LinearSVC,
    "ridge": linear_model.RidgeClassifier,
    "gradient descent": lambda: linear_model.SGDClassifier(random_state=0),
    "in a pipeline": lambda: make_pipeline(preprocessing.MaxAbsScaler(), svm.LinearSVC()),
    "one against all": lambda: multiclass.OneVsRestClassifier(svm.LinearSVC()),
}


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("name", LINEAR)
def test_both_of_two_classes_are_asked_for_by_their_own_scores(
    name: str, engine: Any, tmp_path: Path
) -> None:
    """The map of class 1 is x w, that of class 0 its negative."""
    model = LINEAR[name]().fit(X, TWO)
    from_sklearn(model, X[:12], tmp_path / "m.onnx")
    last = model[-1] if hasattr(model, "steps") else model
    w = (last.estimators_[0] if hasattr(last, "estimators_") else last).coef_.ravel()
    scaled = model[:-1].transform(X[:6]) if hasattr(model, "steps") else X[:6]
    explainer = bt.Explainer(tmp_path / "m.onnx", engine=engine)
    one, zero = (explainer.explain(X[:6], mode="epsilon(absolute=1e-6)", target=t) for t in (1, 0))
    np.testing.assert_allclose(one.relevance["features"], scaled * w, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(zero.relevance["features"], -one.relevance["features"])
    for sample, score in enumerate(model.decision_function(X[:6])):
        both = explainer.explain(X[sample : sample + 1], mode="contrastive", target=int(score > 0))
        other = explainer.explain(X[sample : sample + 1], mode="contrastive", target=int(score < 0))
        np.testing.assert_allclose(both.relevance["features"], -other.relevance["features"])
        assert both.ledger.total().start[:, 0] == pytest.approx([2 * abs(score), 0], rel=1e-3)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_score_that_its_bias_made_negative_is_spoken_for_by_what_it_is_made_of(
    engine: Any, tmp_path: Path
) -> None:
    """x >= 0, w >= 0, b < 0: all features speak for class 1, also where the answer is class 0."""
    rows, maps = np.abs(X), []
    for kind in (svm.LinearSVC(), linear_model.SGDClassifier(random_state=0)):
        model = kind.fit(rows, TWO)
        model.coef_[:], model.intercept_[:] = [[1, 2, 0.5, 1]], [-100]
        from_sklearn(model, rows[:12], tmp_path / "m.onnx")
        explainer = bt.Explainer(tmp_path / "m.onnx", engine=engine)
        made = explainer.explain(rows[:3], mode="contrastive", target=1)
        maps.append(made.relevance["features"])
        assert (maps[-1] > 0).all()
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5)


def test_shares_that_are_alike_do_not_decide_the_label(tmp_path: Path) -> None:
    """Modified Huber loss cuts off scores: all at -1 make thirds, of which the score tells."""
    model = linear_model.SGDClassifier(loss="modified_huber", random_state=0).fit(X, THREE)
    assert np.isclose(model.predict_proba(X[:6]), 1 / 3).all(axis=1).any()
    label, shares = exported(model, X, tmp_path / "m.onnx")
    assert label.tolist() == model.predict(X[:6]).tolist()
    np.testing.assert_allclose(shares, model.predict_proba(X[:6]), atol=1e-5)


ANSWERING: dict[str, tuple[Callable[[], Any], Any]] = {
    "mixture": (lambda: mixture.GaussianMixture(2), X),
    "clusters in a pipeline": (
        lambda: make_pipeline(preprocessing.StandardScaler(), cluster.KMeans(2, n_init=1)),
        X,
    ),
    "quadratic": (discriminant_analysis.QuadraticDiscriminantAnalysis, X),
    "histograms": (lambda: ensemble.HistGradientBoostingClassifier(max_iter=3), X),
    "soft votes": (
        lambda: ensemble.VotingClassifier(
            [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())],
            voting="soft",
        ),
        X,
    ),
    "hard votes": (
        lambda: ensemble.VotingClassifier(
            [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())]
        ),
        X,
    ),
    "elimination": (
        lambda: feature_selection.RFE(linear_model.LogisticRegression(), n_features_to_select=2),
        X,
    ),
    "random trees": (
        lambda: ensemble.RandomTreesEmbedding(n_estimators=2, max_depth=2, random_state=0),
        X,
    ),
    "powers": (preprocessing.PowerTransformer, X),
    "bins": (lambda: preprocessing.KBinsDiscretizer(3), X),
    "calibrated": (lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), X),
    "sparse codes": (preprocessing.OneHotEncoder, CODES),
    "dense codes": (lambda: preprocessing.OneHotEncoder(sparse_output=False), CODES),
    "ordinal codes": (preprocessing.OrdinalEncoder, CODES),
    "codes that are no whole numbers": (preprocessing.OrdinalEncoder, CODES / 4),
    "codes, then a model": (
        lambda: make_pipeline(
            preprocessing.OneHotEncoder(handle_unknown="ignore"), linear_model.LogisticRegression()
        ),
        CODES,
    ),
    "words": (preprocessing.OneHotEncoder, WORDS),
    "sparse frequencies": (text.TfidfTransformer, CODES),
    "columns of which one is sparse": (
        lambda: compose.make_column_transformer(
            (preprocessing.OneHotEncoder(), [0]), remainder="passthrough"
        ),
        CODES,
    ),
}


@pytest.mark.parametrize("name", ANSWERING)
def test_what_else_has_a_converter(name: str, tmp_path: Path) -> None:
    make, rows = ANSWERING[name]
    assert exported(make().fit(rows, TWO), rows, tmp_path / "m.onnx")


def test_both_discriminants_are_right(tmp_path: Path) -> None:
    """skl2onnx takes a softmax of both scores, which is steeper than scikit-learn's sigmoid."""
    model = discriminant_analysis.LinearDiscriminantAnalysis().fit(X, TWO)
    _, probabilities = exported(model, X, tmp_path / "m.onnx")
    np.testing.assert_allclose(probabilities, model.predict_proba(X[:6]), rtol=1e-4)


@pytest.mark.parametrize("kind", [text.CountVectorizer, text.TfidfVectorizer])
def test_texts_are_read(kind: Any, tmp_path: Path) -> None:
    """Also where the machine has not the locale that skl2onnx writes."""
    model = make_pipeline(kind(), svm.LinearSVC()).fit(TEXTS, TWO)
    made = from_sklearn(model, TEXTS[:12], tmp_path / "m.onnx")
    assert made.inputs == {"features": "string[batch, 1]"}
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(["label"], {"features": np.array(TEXTS[:9], object)[:, None]})[0]
    assert found.tolist() == model.predict(TEXTS[:9]).tolist()
    made_of = bt.explain(tmp_path / "m.onnx", TEXTS[:3], mode="epsilon(absolute=1e-6)", target=1)
    vocabulary, weights = model[0].vocabulary_, model[1].coef_[0]
    for sample, row in enumerate(model[0].transform(TEXTS[:3]).toarray()):
        tokens = made_of.tokens["features"].row(sample)
        for word in {token.text for token in tokens}:
            place = vocabulary.get(word)
            worth = 0 if place is None else row[place] * weights[place]
            total = sum(token.relevance for token in tokens if token.text == word)
            assert total == pytest.approx(worth, rel=1e-3, abs=1e-5)


def test_what_a_table_of_leaves_is_asked_for_carries_nothing(tmp_path: Path) -> None:
    """A forest of two answers is written as leaves' numbers that are looked up."""
    several = np.stack([TWO, THREE > 0], axis=1)
    model = ensemble.RandomForestClassifier(3, random_state=0).fit(X, several)
    exported(model, X, tmp_path / "m.onnx")
    total = bt.explain(tmp_path / "m.onnx", X[:3]).ledger.total()
    np.testing.assert_allclose(total.unassigned, total.start)


def test_sizes_are_stated_as_they_are(tmp_path: Path) -> None:
    """skl2onnx says two columns where it writes one; onnxruntime then miscounts."""
    model = linear_model.RidgeClassifier().fit(X, TWO)
    made = from_sklearn(model, X[:12], tmp_path / "m.onnx")
    assert made.outputs["probabilities"].endswith(", 2]")
    engines = [bt.Explainer(tmp_path / "m.onnx", engine=e) for e in ("numba", "onnxruntime")]  # type: ignore[arg-type]
    eager, compiled = (e.explain(X[:4], mode="contrastive").relevance["features"] for e in engines)
    np.testing.assert_allclose(eager, compiled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("encode", ["onehot", "onehot-dense", "ordinal"])
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_bins_relevance_belongs_to_its_column(encode: Any, engine: Any, tmp_path: Path) -> None:
    """Also beside columns that are not binned: the weight of the bin that was chosen."""
    binned = preprocessing.KBinsDiscretizer(3, encode=encode, strategy="quantile")
    columns = compose.make_column_transformer((binned, [0, 2]), ("passthrough", [1]))
    model = make_pipeline(columns, linear_model.LogisticRegression()).fit(X, TWO)
    from_sklearn(model, X[:12], tmp_path / "m.onnx")
    explainer = bt.Explainer(tmp_path / "m.onnx", engine=engine)
    found = explainer.explain(X[:6], mode="epsilon(absolute=1e-6)", target=1).relevance["features"]
    worth = columns.transform(X[:6])
    worth = (worth.toarray() if hasattr(worth, "toarray") else worth) * model[-1].coef_[0]
    size = (worth.shape[1] - 1) // 2
    expected = [worth[:, :size].sum(1), worth[:, -1], worth[:, size:-1].sum(1)]
    np.testing.assert_allclose(found[:, :3], np.stack(expected, axis=1), rtol=1e-3, atol=1e-4)


def test_settings_are_as_they_were(tmp_path: Path) -> None:
    bins = preprocessing.KBinsDiscretizer(3).fit(X)
    from_sklearn(bins, X[:12], tmp_path / "m.onnx")
    assert bins.encode == "onehot"


def test_trees_of_histograms_get_their_counts(tmp_path: Path) -> None:
    """No warning that leaves are taken to be equally likely, and the counts are training's."""
    model = ensemble.HistGradientBoostingRegressor(max_iter=2).fit(X, X[:, 0] * X[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", bt.exporters.ExportWarning)
        from_sklearn(model, X[:12], tmp_path / "m.onnx")
    explained = bt.explain(tmp_path / "m.onnx", X, mode="epsilon(absolute=1e-6)", task="regression")
    total = explained.ledger.total()
    expectation = sum(
        (tree.nodes["value"] * tree.nodes["count"])[tree.nodes["is_leaf"] == 1].sum() / len(X)
        for (tree,) in model._predictors
    )
    bias = float(model._baseline_prediction.item() + expectation)
    np.testing.assert_allclose(total.constants[0], bias, atol=1e-4)


def test_what_the_converter_gets_wrong_is_refused(tmp_path: Path) -> None:
    """skl2onnx writes votes of estimators without probabilities for one row only."""
    model = ensemble.BaggingClassifier(linear_model.SGDClassifier(), n_estimators=3).fit(X, TWO)
    with pytest.raises(ExportError, match="Either its converter is wrong"):
        from_sklearn(model, X[:12], tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"cannot convert NearestCentroid: Unable to find"):
        from sklearn.neighbors import NearestCentroid

        from_sklearn(NearestCentroid().fit(X, TWO), X[:12], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
