"""The last layer has no stabiliser, and goes by no signs where one unit is set against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Contrast, Explainer
from tests.graphs import FLOAT, Array, model, node, normal

MODES = ("lrp", "lrp(0.5)", "attnlrp", "gamma(0.25)", "zplus", "alphabeta(2, 1)", "cnn", "deeplift")
ENDS: dict[str, Sequence[onnx.NodeProto]] = {
    "a bias": [node("Gemm", ["a", "v", "c"], ["z"])],
    "an Add": [node("MatMul", ["a", "v"], ["h"]), node("Add", ["h", "c"], ["z"])],
    "an Add behind moves": [
        node("MatMul", ["a", "v"], ["h"]),
        node("Unsqueeze", ["h", "last"], ["u"]),
        node("Squeeze", ["u", "last"], ["s"]),
        node("Add", ["s", "c"], ["z"]),
    ],
    "wide and deep": [
        node("Gemm", ["a", "v", "c"], ["deep"]),
        node("MatMul", ["x", "wide"], ["shallow"]),
        node("Add", ["deep", "shallow"], ["z"]),
    ],
    "the best of two": [
        node("Gemm", ["a", "v", "c"], ["one"]),
        node("MatMul", ["x", "wide"], ["h"]),
        node("Add", ["h", "c"], ["other"]),
        node("Max", ["one", "other"], ["z"]),
    ],
    "the best place": [
        node("Gemm", ["a", "v", "c"], ["one"]),
        node("Gemm", ["x", "wide", "c"], ["other"]),
        node("Unsqueeze", ["one", "last"], ["p"]),
        node("Unsqueeze", ["other", "last"], ["q"]),
        node("Concat", ["p", "q"], ["pq"], axis=2),
        node("ReduceMax", ["pq", "last"], ["z"], keepdims=0),
    ],
    "two layers": [
        node("MatMul", ["a", "v"], ["h"]),
        node("Gemm", ["h", "mix", "c"], ["z"]),
    ],
}


def network(end: str, constant: float, head: str = "Softmax") -> onnx.ModelProto:
    """head(end(relu(x w + b))), with a constant added to all three scores."""
    nodes = [
        node("Gemm", ["x", "w", "b"], ["before"]),
        node("Relu", ["before"], ["a"]),
        *ENDS[end],
        node(head, ["z"], ["y"]),
    ]
    weights: dict[str, Any] = {
        "w": normal(4, 5, seed=1),
        "b": normal(5, seed=2),
        "v": normal(5, 3, seed=3),
        "c": np.full(3, constant, np.float32),
        "wide": normal(4, 3, seed=4),
        "mix": np.eye(3, dtype=np.float32) + 0.1,
        "last": np.array([-1]),
    }
    return model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}, weights)


def relevance(proto: onnx.ModelProto, mode: str, engine: Any, **asked: Any) -> Array:
    x = normal(6, 4, seed=9)
    baseline = {"baseline": "zeros"} if mode == "deeplift" else {}
    made = Explainer(proto, engine=engine).explain(x, mode=mode, **baseline, **asked)
    found: Array = made.relevance["x"]
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ENDS)
def test_a_constant_added_to_all_scores_changes_no_contrast(end: str, mode: str) -> None:
    for engine in ("numba", "onnxruntime"):
        maps = [
            relevance(network(end, constant), mode, engine, start=Contrast(0, 2))
            for constant in (0, -5, 8)
        ]
        size = np.abs(maps[0]).max()
        assert size > 0.1
        for found in maps[1:]:
            np.testing.assert_allclose(found, maps[0], atol=2e-6 * size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("head", ["Softmax", "LogSoftmax", "Identity"])
def test_why_one_class_is_why_not_the_other(mode: str, head: str) -> None:
    proto = network("a bias", 1, head)
    one, other = (
        relevance(proto, mode, "numba", start=Contrast(*pair)) for pair in ((0, 1), (1, 0))
    )
    np.testing.assert_array_equal(one, -other)


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("mode", ["lrp(0.5)", "lrp", "cnn"])
def test_a_linear_model_is_explained_by_its_weights(mode: str, nodes: int) -> None:
    made = [node("MatMul", ["x", "w"], ["h"]), node("Gemm", ["h", "v", "b"], ["y"])][-nodes:]
    made = made if nodes == 2 else [node("Gemm", ["x", "v", "b"], ["y"])]
    w = normal(5, 5, seed=2) if nodes == 2 else np.eye(5, dtype=np.float32)
    weights = {"w": w, "v": normal(5, 3, seed=1), "b": normal(3, seed=3)}
    proto = model(made, {"x": (FLOAT, ["N", 5])}, {"y": (FLOAT, ["N", 3])}, weights)
    x = normal(4, 5)
    found = Explainer(proto).explain(x, mode=mode, target=1)
    np.testing.assert_allclose(found.relevance["x"], x * (w @ weights["v"])[:, 1], atol=1e-5)
    assert np.allclose(found.ledger.total().unassigned, 0, atol=1e-6)


def test_what_another_reader_bends_is_stabilised() -> None:
    """h is read by the last sum and by a Tanh: its layer is not the last."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Tanh", ["h"], ["t"]),
        node("Add", ["h", "t"], ["y"]),
    ]
    w = normal(4, 3)
    proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}, {"w": w})
    x = normal(2, 4, seed=5)
    found = Explainer(proto).explain(x, mode="lrp(0.5)", target=0)
    h = x @ w
    slope = 1 + np.tanh(h) / h
    kept = np.abs(h) / (np.abs(h) + 0.5 * np.sqrt(np.mean(h**2, axis=1, keepdims=True)))
    np.testing.assert_allclose(found.relevance["x"], x * (slope * kept)[:, :1] * w[:, 0], rtol=1e-4)


def test_rules_that_are_asked_for_hold_for_one_unit() -> None:
    """Between two units they would go by signs that a constant decides."""
    proto = network("a bias", 3)
    plain, other = (
        relevance(proto, f"convolution: zplus, last: {rule}", "numba", target=0)
        for rule in ("epsilon(0)", "zplus")
    )
    assert not np.allclose(plain, other, rtol=0.01)
