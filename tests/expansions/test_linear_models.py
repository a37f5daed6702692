"""Operators of ai.onnx.ml: the same answers as onnxruntime's, explained as what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from backtrace_onnx import Explainer, UnsupportedError
from tests.cases import Array, session
from tests.checks import check_ledger, run_compiled
from tests.graphs import FLOAT, INT64, STRING, model, node, normal

ML = "ai.onnx.ml"
DOUBLE, INT32 = TensorProto.DOUBLE, TensorProto.INT32
X = normal(6, 3, seed=4)
LABELED = {"label": (INT64, ["N"]), "y": (FLOAT, ["N", None])}
PLAIN = {"y": (FLOAT, ["N", None])}


def single(
    op_type: str,
    attributes: Mapping[str, Any],
    outputs: Mapping[str, Any] = PLAIN,
    x: tuple[int, Any] = (FLOAT, ["N", 3]),
) -> onnx.ModelProto:
    """A model of one such node."""
    made = helper.make_node(op_type, ["x"], list(outputs), "op", domain=ML, **attributes)
    return model([made], {"x": x}, outputs, domains={ML: 3})


def check_answers(proto: onnx.ModelProto, x: Array, tolerance: float = 1e-5) -> None:
    """The model that is explained answers what the model does."""
    names = [o.name for o in proto.graph.output]
    told = dict(zip(names, session(proto).run(names, {"x": x}), strict=True))
    got = Explainer(proto).explain(x).outputs
    for name, want in told.items():
        if want.dtype.kind == "f":
            np.testing.assert_allclose(got[name], want, rtol=tolerance, atol=tolerance)
        else:
            assert got[name].tolist() == want.tolist()


def check_engines(proto: onnx.ModelProto, x: Array, folder: Path, tolerance: float = 1e-5) -> None:
    """Ledger closed, and the compiled explanation equals the eager one."""
    explainer = Explainer(proto)
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        got = explainer.explain(x, mode=mode)
        check_ledger(got, each=True)
        r = {"default": 1, "contrastive": 2, "epsilon(absolute=1e-6)": 1}[mode]
        y = got.outputs["y"]
        start = [np.abs(normal(*y.shape, seed=k)) for k in range(r)]
        eager = explainer.explain(x, mode=mode, start=tuple(start) if r > 1 else start[0])
        explainer.compile(folder / "e.onnx", mode=mode, task="start")
        for parts in run_compiled(folder / "e.onnx", {"x": x}, start).values():
            shown = [eager.positive["x"], eager.negative.get("x")][:r]
            for a, b in zip(parts, shown, strict=True):
                assert np.abs(a - b).max() <= tolerance * max(float(np.abs(b).max()), 1e-6)


def linear(scores: int, labels: int = 0, **attributes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "coefficients": normal(scores, 3, seed=1).ravel().tolist(),
        "intercepts": normal(scores, seed=2).tolist(),
    }
    if labels:
        made["classlabels_ints"] = list(range(10, 10 + labels))
    return made | attributes


# Linear models --------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_linear_regressor(targets: int, transform: str, tmp_path: Path) -> None:
    attributes = linear(targets, targets=targets, post_transform=transform)
    proto = single("LinearRegressor", attributes)
    check_answers(proto, X)
    check_engines(proto, X, tmp_path)


def test_a_linear_model_shares_by_weight_times_input() -> None:
    attributes = linear(1, targets=1)
    got = Explainer(single("LinearRegressor", attributes)).explain(X, mode="epsilon(absolute=1e-6)")
    c = X * np.array(attributes["coefficients"], np.float32)
    np.testing.assert_allclose(got.relevance["x"], c, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scores", [1, 2, 4])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_linear_classifier(scores: int, transform: str, tmp_path: Path) -> None:
    attributes = linear(scores, max(scores, 2), post_transform=transform)
    proto = single("LinearClassifier", attributes, LABELED)
    check_answers(proto, X)
    check_engines(proto, X, tmp_path)


def test_classes_named_by_strings() -> None:
    attributes = {**linear(1), "classlabels_strings": ["no", "yes"], "post_transform": "LOGISTIC"}
    proto = single("LinearClassifier", attributes, {**LABELED, "label": (STRING, ["N"])})
    check_answers(proto, X)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int32])
def test_other_numbers_are_taken_as_float(dtype: Any) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto = single("LinearClassifier", linear(3, 3), LABELED, (element, ["N", 3]))
    x = np.round(X * 3).astype(dtype)
    check_answers(proto, x)
    check_ledger(Explainer(proto).explain(x))


def test_transforms_that_no_operator_says_are_refused() -> None:
    proto = single("LinearClassifier", linear(3, 3, post_transform="PROBIT"), LABELED)
    with pytest.raises(UnsupportedError, match="PROBIT cannot be written"):
        Explainer(proto)


def test_a_linear_classifier_is_a_gemm_with_softmax() -> None:
    attributes = linear(3, 3, post_transform="SOFTMAX")
    weights = np.array(attributes["coefficients"], np.float32).reshape(3, 3)
    plain = model(
        [node("Gemm", ["x", "w", "b"], ["s"], "fc", transB=1), node("Softmax", ["s"], ["y"], "p")],
        {"x": (FLOAT, ["N", 3])},
        PLAIN,
        {"w": weights, "b": np.array(attributes["intercepts"], np.float32)},
    )
    proto = single("LinearClassifier", attributes, LABELED)
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        a, b = (Explainer(p).explain(X, mode=mode).relevance["x"] for p in (proto, plain))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# Support vector machines ----------------------------------------------------------------------


def machine(sizes: list[int], kernel: str, **attributes: Any) -> dict[str, Any]:
    count, classes = sum(sizes), len(sizes)
    return {
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.5, 2.0],
        "support_vectors": normal(count, 3, seed=5).ravel().tolist(),
        "coefficients": normal(max(classes - 1, 1), count, seed=6).ravel().tolist(),
        "rho": normal(max(classes * (classes - 1) // 2, 1), seed=7).tolist(),
        **attributes,
    }


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("one_class", [0, 1])
def test_support_vector_regression(kernel: str, one_class: int, tmp_path: Path) -> None:
    attributes = machine([5], kernel, n_supports=5, one_class=one_class)
    proto = single("SVMRegressor", attributes)
    check_answers(proto, X)
    check_engines(proto, X, tmp_path, 1e-4)


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("sizes", [[2, 3], [2, 3, 2], [1, 2, 3, 1]])
def test_support_vector_classification(kernel: str, sizes: list[int], tmp_path: Path) -> None:
    labels = list(range(5, 5 + len(sizes)))
    attributes = machine(sizes, kernel, vectors_per_class=sizes, classlabels_ints=labels)
    proto = single("SVMClassifier", attributes, LABELED)
    check_answers(proto, X, 1e-4)
    if kernel == "RBF":
        check_engines(proto, X, tmp_path, 1e-4)


@pytest.mark.parametrize("transform", ["LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("sizes", [[2, 3], [2, 3, 2]])
def test_transformed_scores_of_support_vectors(transform: str, sizes: list[int]) -> None:
    labels = list(range(len(sizes)))
    attributes = machine(sizes, "RBF", vectors_per_class=sizes, classlabels_ints=labels)
    attributes["post_transform"] = transform
    check_answers(single("SVMClassifier", attributes, LABELED), X, 1e-4)


def test_iterated_probabilities_are_refused() -> None:
    attributes = machine([2, 3], "RBF", vectors_per_class=[2, 3], classlabels_ints=[0, 1])
    attributes |= {"prob_a": [-1.0], "prob_b": [0.0]}
    with pytest.raises(UnsupportedError, match="without probabilities"):
        Explainer(single("SVMClassifier", attributes, LABELED))


# Around them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("element", [FLOAT, DOUBLE, INT64, INT32])
def test_scaler_is_a_shift_and_a_scale(element: int, tmp_path: Path) -> None:
    proto = single(
        "Scaler",
        {"offset": [1.0, -2.0, 0.5], "scale": [2.0, 0.5, -1.0]},
        x=(element, ["N", 3]),
    )
    x = np.round(X * 3).astype(helper.tensor_dtype_to_np_dtype(element))
    check_answers(proto, x)
    got = Explainer(proto).explain(x, start=np.ones(x.shape, np.float32))
    share = np.abs(x) / (np.abs(x) + np.abs([1.0, -2.0, 0.5]))
    np.testing.assert_allclose(got.relevance["x"], share, rtol=1e-5)
    if element in (FLOAT, INT64):
        check_engines(proto, x, tmp_path)


@pytest.mark.parametrize(
    ("x", "attributes"),
    [
        (X, {"imputed_value_floats": [1.0, 2.0, 3.0], "replaced_value_float": -9.0}),
        (X, {"imputed_value_floats": [1.0], "replaced_value_float": float("nan")}),
        (
            np.round(X * 3).astype(np.int64),
            {"imputed_value_int64s": [1], "replaced_value_int64": -9},
        ),
    ],
)
def test_imputing_is_a_pointwise_function(x: Array, attributes: dict[str, Any]) -> None:
    element = helper.np_dtype_to_tensor_dtype(x.dtype)
    output = {"y": (FLOAT, ["N", 3])}
    proto = model(
        [
            node("Imputer", ["x"], ["t"], "op", domain=ML, **attributes),
            node("Cast", ["t"], ["y"], "cast", to=FLOAT),
        ],
        {"x": (element, ["N", 3])},
        output,
        domains={ML: 3},
    )
    x = x.copy()
    x[0, 1] = -9
    check_answers(proto, x)
    start = normal(*x.shape)
    np.testing.assert_array_equal(Explainer(proto).explain(x, start=start).relevance["x"], start)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Normalizer", {"norm": "L1"}),
        ("Normalizer", {"norm": "L2"}),
        ("Normalizer", {"norm": "MAX"}),
        ("Binarizer", {"threshold": 0.2}),
        ("LabelEncoder", {"keys_floats": [0.0, 1.0], "values_floats": [5.0, 7.0]}),
    ],
)
def test_elementwise_and_normalising_operators_pass(
    op_type: str, attributes: dict[str, Any], tmp_path: Path
) -> None:
    proto = single(op_type, attributes)
    got = Explainer(proto).explain(X, start=X)
    np.testing.assert_array_equal(got.relevance["x"], X)
    check_engines(proto, X, tmp_path)


def test_features_are_picked_and_laid_side_by_side(tmp_path: Path) -> None:
    proto = model(
        [
            node("ArrayFeatureExtractor", ["x", "some"], ["a"], "pick", domain=ML),
            node("FeatureVectorizer", ["a", "x"], ["y"], "join", domain=ML, inputdimensions=[2, 3]),
        ],
        {"x": (FLOAT, ["N", 3])},
        PLAIN,
        {"some": np.array([[2, 0]])},
        domains={ML: 3},
    )
    check_answers(proto, X)
    start = np.arange(30, dtype=np.float32).reshape(6, 5)
    got = Explainer(proto).explain(X, start=start)
    want = start[:, 2:].copy()
    want[:, [2, 0]] += start[:, :2]
    np.testing.assert_array_equal(got.relevance["x"], want)
    check_engines(proto, X, tmp_path)


def test_categories_are_summed_back_to_what_they_encode() -> None:
    proto = model(
        [
            node(
                "OneHotEncoder", ["x"], ["hot"], "hot", domain=ML, cats_strings=["a", "b"], zeros=1
            ),
            node("Flatten", ["hot"], ["flat"], "flat"),
            node("MatMul", ["flat", "w"], ["y"], "out"),
        ],
        {"x": (STRING, ["N", 2])},
        PLAIN,
        {"w": np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 6.0], [7.0, -8.0]], np.float32)},
        domains={ML: 3},
    )
    x = np.array([["a", "b"], ["b", "other"]], object)
    got = Explainer(proto).explain(x, mode="epsilon(absolute=1e-6)", target=0)
    np.testing.assert_allclose(got.relevance["x"], [[1, 7], [3, 0]], rtol=1e-4)


def test_words_are_numbered_and_then_looked_up() -> None:
    proto = model(
        [
            node(
                "LabelEncoder",
                ["x"],
                ["n"],
                "number",
                domain=ML,
                keys_strings=["a", "b"],
                values_int64s=[1, 0],
            ),
            node("Gather", ["w", "n"], ["e"], "look"),
            node("ReduceSum", ["e", "axes"], ["y"], "sum", keepdims=0),
        ],
        {"x": (STRING, ["N", 2])},
        PLAIN,
        {"w": np.array([[1.0, 2.0], [-3.0, 4.0]], np.float32), "axes": np.array([1])},
        domains={ML: 3},
    )
    x = np.array([["a", "b"], ["b", "b"]], object)
    got = Explainer(proto).explain(x, mode="epsilon(absolute=1e-6)", task="regression")
    np.testing.assert_allclose(got.relevance["x"], [[1, 3], [3, 3]], rtol=1e-4)


def test_maps_are_refused() -> None:
    made = helper.make_node(
        "DictVectorizer", ["x"], ["y"], "op", domain=ML, string_vocabulary=["a"]
    )
    proto = model([made], {"x": (STRING, ["N"])}, PLAIN, domains={ML: 3})
    with pytest.raises(UnsupportedError, match="input is a map"):
        Explainer(proto)


def test_every_operator_of_the_domain_is_decided() -> None:
    from backtrace_onnx.expansions.registry import find, refused
    from backtrace_onnx.rules import registry

    for schema in onnx.defs.get_all_schemas():
        if schema.domain == ML:
            decided = registry.lookup(ML, schema.name, 9) or find(ML, schema.name)
            assert decided or refused(ML, schema.name), schema.name
