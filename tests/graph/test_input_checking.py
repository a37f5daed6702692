"""Inputs that do not fit are refused by name."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

from backtrace_onnx import Explainer, InputError
from tests.graphs import BOOL, FLOAT, INT64, STRING, mlp, model, node, normal, unary

X = normal(2, 4, seed=5)
TWO = model(
    [node("Add", ["a", "b"], ["y"])],
    {"a": (FLOAT, ["N", 4]), "b": (FLOAT, ["N", 4])},
    {"y": (FLOAT, ["N", 4])},
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X[0], r"takes float32\[N, 4\].*shape \(4,\) \(add a batch axis"),
        (X[:, :3], r"shape \(2, 3\): axis 1 must be 4"),
        (X[None], r"shape \(1, 2, 4\)"),
        (np.zeros((0, 4), np.float32), "is empty"),
        (X.astype(complex), "not complex128"),
        (np.array([["a"] * 4]), "not <U1"),
        ([[1.0, 2.0], [3.0]], "is not an array"),
        (None, "not object"),
        (np.full((1, 4), 1e300), "the value 1e.300 at .0, 0. does not fit"),
        (np.array([[1, 2, np.nan, 4]]), r"NaN or Inf, first at \(0, 2\)"),
        (np.array([[1, 2, 3, -np.inf]], np.float32), r"NaN or Inf, first at \(0, 3\)"),
    ],
)
def test_arrays_that_do_not_fit(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)input 'x'.*{message}"):
        Explainer(mlp()).explain(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X, "has 2 inputs; give a dict by name: a float32"),
        ({"a": X}, "input 'b' is missing"),
        ({"a": X, "b": X, "c": X}, "no input 'c'; it has: a float32"),
        ({}, "input 'a' is missing"),
    ],
)
def test_names_that_do_not_fit(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Explainer(TWO).explain(given)


@pytest.mark.parametrize("given", [X.astype(np.float64), X.astype(np.float16), X.tolist()])
def test_other_floats_are_cast(given: Any) -> None:
    found = Explainer(mlp()).explain(given)
    assert found.inputs["x"].dtype == np.float32


def test_integers_and_booleans_become_floats() -> None:
    found = Explainer(mlp()).explain(np.array([[1, 0, 1, 3]]))
    assert found.inputs["x"].tolist() == [[1, 0, 1, 3]]
    assert Explainer(mlp()).explain(np.ones((1, 4), bool)).inputs["x"].sum() == 4


@pytest.mark.parametrize("layout", ["read-only", "transposed", "strided", "foreign order"])
def test_any_memory_layout_is_taken(layout: str) -> None:
    x = {
        "read-only": np.broadcast_to(X, X.shape),
        "transposed": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
        "foreign order": X.astype(">f4"),
    }[layout]
    wanted = Explainer(TWO).explain({"a": X, "b": X.copy()}).relevance
    found = Explainer(TWO).explain({"a": x, "b": X.copy()}).relevance
    assert np.array_equal(found["a"], wanted["a"])


def test_an_explanation_keeps_its_inputs() -> None:
    x = X.copy()
    found = Explainer(mlp()).explain(x)
    x[:] = 0
    assert np.array_equal(found.inputs["x"], X)


IDS = model(
    [node("Gather", ["table", "ids"], ["y"])],
    {"ids": (INT64, ["N", 2])},
    {"y": (FLOAT, ["N", 2, 3])},
    {"table": normal(5, 3)},
)


def test_integer_inputs() -> None:
    explainer = Explainer(IDS)
    found = explainer.explain(np.array([[1, 4]], np.uint8))
    assert found.inputs["ids"].dtype == np.int64
    for given in (np.array([[1.0, 2.0]]), np.array([[True, False]])):
        with pytest.raises(InputError, match="takes int64"):
            explainer.explain(given)
    with pytest.raises(InputError, match=r"18446744073709551615 at \(0, 1\) does not fit"):
        explainer.explain(np.array([[1, 2**64 - 1]], np.uint64))
    with pytest.raises(InputError, match="cannot run on the inputs"):
        explainer.explain(np.array([[1, 99]]))


def test_small_integers_do_not_wrap() -> None:
    proto = model(
        [node("Cast", ["x"], ["y"], to=FLOAT)],
        {"x": (TensorProto.UINT8, ["N"])},
        {"y": (FLOAT, ["N"])},
    )
    with pytest.raises(InputError, match=r"the value 300 at \(1,\)"):
        Explainer(proto).explain(np.array([1, 300]))
    with pytest.raises(InputError, match=r"the value -1 at \(0,\)"):
        Explainer(proto).explain(np.array([-1, 3]))


def test_booleans() -> None:
    proto = model(
        [node("Where", ["m", "x", "zero"], ["y"])],
        {"m": (BOOL, ["N", 4]), "x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"zero": np.float32(0)},
    )
    mask = np.array([[True, False, True, False]] * 2)
    found = Explainer(proto).explain({"m": mask, "x": X}, task="regression")
    assert np.array_equal(found.relevance["x"], np.where(mask, np.abs(X), 0))
    assert not found.relevance["m"].any()
    with pytest.raises(InputError, match="'m' takes bool"):
        Explainer(proto).explain({"m": mask.astype(int), "x": X})


def test_text_is_taken_as_text_only() -> None:
    proto = model(
        [
            node("StringNormalizer", ["s"], ["t"]),
            node("Shape", ["t"], ["n"]),
            node("Cast", ["n"], ["y"], to=FLOAT),
        ],
        {"s": (STRING, [None])},
        {"y": (FLOAT, [1])},
    )
    explainer = Explainer(proto, on_unsupported="stop")
    for given in (np.array(["a", "b"]), np.array(["a", "b"], object), ["a", "b"]):
        assert explainer.explain(given).relevance["s"].tolist() == [0, 0]
    for wrong in (np.array([1.0]), np.array([b"a"], object), [1]):
        with pytest.raises(InputError, match=r"takes string\["):
            explainer.explain(wrong)


def test_bfloat16() -> None:
    x = np.array([[1, 2, 3, 4]], ml_dtypes.bfloat16)
    assert Explainer(mlp()).explain(x).inputs["x"].tolist() == [[1, 2, 3, 4]]
    proto = unary("Cast", (TensorProto.BFLOAT16, ["N", 2]), (FLOAT, ["N", 2]))
    proto.graph.node[0].attribute.add(name="to", i=FLOAT, type=2)
    assert Explainer(proto).explain(x[:, :2]).inputs["x"].dtype == np.float32
