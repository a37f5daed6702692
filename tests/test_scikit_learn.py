"""Models of scikit-learn, LightGBM and XGBoost, exported and explained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, UnsupportedError
from tests.cases import Array
from tests.checks import check_ledger

pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import (  # noqa: E402
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    linear_model,
    naive_bayes,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

OPSETS = {"": 18, "ai.onnx.ml": 3}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)).astype(np.float32)
SCORE = X @ np.array([2.0, -1.0, 0.5, 0.0, 1.0]) + 0.3 * X[:, 1] ** 2
TWO = (SCORE > 0).astype(np.int64)
THREE = np.digitize(SCORE, [-1.0, 1.0])
FEW = X[:4]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the trainers and converters warn of is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def exported(estimator: Any, y: Array | None, zipmap: bool = False) -> onnx.ModelProto:
    """The estimator, trained on X."""
    fitted = estimator.fit(X, y) if y is not None else estimator.fit(X)
    options = {id(fitted): {"zipmap": zipmap}} if hasattr(fitted, "predict_proba") else None
    return skl2onnx.to_onnx(fitted, X[:1], options=options, target_opset=OPSETS)


def check(proto: onnx.ModelProto, folder: Path, feeds: Array = FEW) -> None:
    """Predictions kept, ledger closed, eager equal to compiled, a batch equal to its samples."""
    explainer = Explainer(proto)
    running = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    name = running.get_inputs()[0].name
    outputs = [o.name for o in running.get_outputs()]
    told = dict(zip(outputs, running.run(outputs, {name: feeds}), strict=True))
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        got = explainer.explain(feeds, mode=mode)
        check_ledger(got, each=True)
        for output, value in told.items():
            if isinstance(value, np.ndarray) and output in got.outputs:
                assert_same(got.outputs[output], value)
        top = max(float(np.abs(got.relevance[name]).max()), 1e-6)
        alone = explainer.explain(feeds[1:2], mode=mode).relevance[name][0]
        assert np.abs(alone - got.relevance[name][1]).max() <= 1e-4 * top
        explainer.compile(folder / "e.onnx", mode=mode)
        made = ort.InferenceSession(folder / "e.onnx", providers=["CPUExecutionProvider"])
        (relevance,) = made.run([f"relevance/{name}"], {name: feeds})
        assert np.abs(relevance - got.relevance[name]).max() <= 1e-4 * top


def assert_same(got: Array, want: Array) -> None:
    if want.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    else:
        assert got.tolist() == want.tolist()


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "logistic": linear_model.LogisticRegression,
    "scaled": lambda: pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression()
    ),
    "components": lambda: pipeline.make_pipeline(
        preprocessing.MinMaxScaler(), decomposition.PCA(3), linear_model.LogisticRegression()
    ),
    "tree": lambda: tree.DecisionTreeClassifier(max_depth=4),
    "forest": lambda: ensemble.RandomForestClassifier(5, random_state=0),
    "extra trees": lambda: ensemble.ExtraTreesClassifier(5, random_state=0),
    "boosted": lambda: ensemble.GradientBoostingClassifier(n_estimators=4, random_state=0),
    "bagged": lambda: ensemble.BaggingClassifier(n_estimators=2, random_state=0),
    "vectors": svm.SVC,
    "linear vectors": svm.LinearSVC,
    "perceptron": lambda: neural_network.MLPClassifier((6,), max_iter=5, random_state=0),
    "bayes": naive_bayes.GaussianNB,
    "discriminant": discriminant_analysis.LinearDiscriminantAnalysis,
    "calibrated": lambda: calibration.CalibratedClassifierCV(svm.SVC(), cv=2),
    "voting": lambda: ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))],
        voting="soft",
        flatten_transform=False,
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name: str, tmp_path: Path) -> None:
    y = TWO if name in ("scaled", "boosted", "perceptron") else THREE
    check(exported(CLASSIFIERS[name](), y), tmp_path)


REGRESSORS: dict[str, Callable[[], Any]] = {
    "linear": linear_model.LinearRegression,
    "tree": tree.DecisionTreeRegressor,
    "forest": lambda: ensemble.RandomForestRegressor(5, random_state=0),
    "boosted": lambda: ensemble.GradientBoostingRegressor(n_estimators=5),
    "vectors": svm.SVR,
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name: str, tmp_path: Path) -> None:
    check(exported(REGRESSORS[name](), SCORE.astype(np.float32)), tmp_path)


@pytest.mark.parametrize("make", [lambda: cluster.KMeans(3, n_init=1), svm.OneClassSVM])
def test_models_without_labels(make: Callable[[], Any], tmp_path: Path) -> None:
    check(exported(make(), None), tmp_path)


def test_outliers_of_a_forest(tmp_path: Path) -> None:
    check(exported(ensemble.IsolationForest(n_estimators=3, random_state=0), None), tmp_path)


@pytest.mark.parametrize("name", ["logistic", "forest", "boosted"])
def test_probabilities_in_a_map_are_explained_as_without(name: str) -> None:
    plain, mapped = (exported(CLASSIFIERS[name](), THREE, zipmap) for zipmap in (False, True))
    for mode in ("default", "contrastive"):
        a, b = (Explainer(p).explain(FEW, mode=mode).relevance["X"] for p in (plain, mapped))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_linear_model_shares_by_weight_times_input() -> None:
    fitted = linear_model.LinearRegression().fit(X, SCORE)
    got = Explainer(exported(fitted, SCORE)).explain(
        FEW, mode="epsilon(absolute=1e-6)", task="regression"
    )
    np.testing.assert_allclose(got.relevance["X"], FEW * fitted.coef_, rtol=1e-3, atol=1e-4)


def test_changes_along_a_tree_add_up_to_its_answer() -> None:
    fitted = ensemble.RandomForestRegressor(5, random_state=0).fit(X, SCORE)
    got = Explainer(exported(fitted, SCORE)).explain(
        FEW, mode="epsilon(absolute=1e-6)", task="regression"
    )
    total = got.ledger.total()
    np.testing.assert_allclose(
        got.relevance["X"].sum(1) + total.constants[0], fitted.predict(FEW), rtol=1e-3
    )


def test_a_feature_no_split_asks_for_has_no_relevance() -> None:
    fitted = ensemble.GradientBoostingRegressor(n_estimators=3).fit(X[:, [0, 1, 0, 1, 0]], SCORE)
    asked = {int(f) for t in fitted.estimators_.ravel() for f in t.tree_.feature if f >= 0}
    proto = skl2onnx.to_onnx(fitted, X[:1], target_opset=OPSETS)
    relevance = Explainer(proto).explain(X).relevance["X"]
    assert set(np.flatnonzero(relevance.any(axis=0))) <= asked
    assert relevance.any()


@pytest.mark.parametrize("encoder", [preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder])
@pytest.mark.parametrize(
    "model", [linear_model.LogisticRegression, lambda: ensemble.RandomForestClassifier(5)]
)
def test_words_and_numbers_in_several_inputs(
    encoder: Any, model: Callable[[], Any], tmp_path: Path
) -> None:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    words = RNG.choice(["a", "b", "c"], size=(len(X), 1)).astype(object)
    table = np.concatenate([X[:, :2].astype(object), words], axis=1)
    y = (X[:, 0] > 0) ^ (words[:, 0] == "a")
    columns = compose.ColumnTransformer(
        [("n", preprocessing.StandardScaler(), [0, 1]), ("c", encoder(), [2])]
    )
    fitted = pipeline.make_pipeline(columns, model()).fit(table, y)
    types = [("a", FloatTensorType([None, 1])), ("b", FloatTensorType([None, 1]))]
    types += [("word", StringTensorType([None, 1]))]
    proto = skl2onnx.to_onnx(fitted, initial_types=types, target_opset=OPSETS)
    feeds = {"a": X[:4, :1], "b": X[:4, 1:2], "word": words[:4]}
    explainer = Explainer(proto)
    for mode in ("default", "contrastive"):
        got = explainer.explain(feeds, mode=mode)
        check_ledger(got, each=True)
        assert np.abs(got.relevance["word"]).max() > 0
        explainer.compile(tmp_path / "e.onnx", mode=mode)
        made = ort.InferenceSession(tmp_path / "e.onnx", providers=["CPUExecutionProvider"])
        for name, relevance in got.relevance.items():
            (compiled,) = made.run([f"relevance/{name}"], feeds)
            np.testing.assert_allclose(compiled, relevance, rtol=1e-4, atol=1e-6)


def test_iterated_probabilities_are_refused_by_name() -> None:
    from sklearn.svm import SVC

    fitted = SVC(probability=True)
    with pytest.raises(UnsupportedError, match="without probabilities"):
        Explainer(exported(fitted, TWO))


# Other libraries ------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [TWO, THREE, SCORE], ids=["two", "three", "number"])
def test_lightgbm(y: Array, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    onnxmltools = pytest.importorskip("onnxmltools")
    kind = lightgbm.LGBMRegressor if y is SCORE else lightgbm.LGBMClassifier
    fitted = kind(n_estimators=5, min_child_samples=5, verbose=-1).fit(X, y)
    check(converted(onnxmltools.convert_lightgbm, fitted), tmp_path)


@pytest.mark.parametrize("y", [TWO, THREE, SCORE], ids=["two", "three", "number"])
def test_xgboost(y: Array, tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    onnxmltools = pytest.importorskip("onnxmltools")
    kind = xgboost.XGBRegressor if y is SCORE else xgboost.XGBClassifier
    fitted = kind(n_estimators=5, max_depth=3).fit(X, y)
    check(converted(onnxmltools.convert_xgboost, fitted), tmp_path)


def test_sets_of_categories_of_lightgbm(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    onnxmltools = pytest.importorskip("onnxmltools")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 5)).astype(np.float32)
    x[:, 3] = rng.integers(1, 12, len(x))
    y = (np.isin(x[:, 3], [2, 5, 7, 11]) ^ (x[:, 0] > 1)).astype(np.int64)
    fitted = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=5, verbose=-1, cat_smooth=1)
    fitted.fit(x, y, categorical_feature=[3])
    proto = converted(onnxmltools.convert_lightgbm, fitted)
    check(proto, tmp_path, x[:4])
    assert np.abs(Explainer(proto).explain(x).relevance["x"][:, 3]).max() > 0


def converted(convert: Callable[..., onnx.ModelProto], fitted: Any) -> onnx.ModelProto:
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("x", FloatTensorType([None, X.shape[1]]))]
    return convert(fitted, initial_types=types, target_opset=15)


@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_what_neighbours_fill_in(mode: str, tmp_path: Path) -> None:
    """skl2onnx writes local functions, in another operator set than the model."""
    impute = pytest.importorskip("sklearn.impute")
    holes = np.where(RNG.random(X.shape) < 0.1, np.float32(np.nan), X)
    trained = pipeline.make_pipeline(
        impute.KNNImputer(n_neighbors=3), linear_model.LogisticRegression()
    ).fit(holes, TWO)
    proto = skl2onnx.to_onnx(trained, X[:1], options={"zipmap": False})
    assert proto.functions
    few = holes[np.isnan(holes).any(1)][:3]
    made = Explainer(proto).explain(few, mode=mode)
    np.testing.assert_allclose(made.outputs["probabilities"], trained.predict_proba(few), atol=1e-5)
    r = made.relevance["X"]
    assert np.isfinite(r).all() and not r[np.isnan(few)].any()
    assert np.abs(r[~np.isnan(few)]).max() > 0
    check_ledger(made)
