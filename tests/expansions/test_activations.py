"""Fused activations of com.microsoft."""

from __future__ import annotations

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal

X, BIAS = normal(3, 4, seed=1), normal(4, seed=2)


@pytest.mark.parametrize("opset", [11, 17, 20])
def test_bias_gelu_is_gelu_of_a_sum(opset: int) -> None:
    fused = model(
        [node("BiasGelu", ["x", "b"], ["y"], "fused", domain="com.microsoft")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"b": BIAS},
        opset=opset,
        domains={"com.microsoft": 1},
    )
    plain = model(
        [node("Add", ["x", "b"], ["t"], "add"), node("Gelu", ["t"], ["y"], "gelu")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"b": BIAS},
        opset=20,
    )
    for mode in ("default", "contrastive"):
        ours, theirs = (Explainer(m).explain(X, mode=mode) for m in (fused, plain))
        np.testing.assert_allclose(ours.outputs["y"], theirs.outputs["y"], rtol=1e-5)
        np.testing.assert_allclose(ours.relevance["x"], theirs.relevance["x"], rtol=1e-5)


def test_expanded_nodes_are_named_after_theirs() -> None:
    fused = model(
        [node("QuickGelu", ["x"], ["y"], "fused", domain="com.microsoft")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        domains={"com.microsoft": 1},
    )
    rows = Explainer(fused).support()
    assert all(row.node.startswith("fused/") for row in rows)
    assert {row.coverage for row in rows} == {"expanded"}


def test_keras_exact_gelu_is_gelu() -> None:
    """0.5 x erfc(-x / sqrt 2), as Keras' own export writes it."""
    x = {"x": (FLOAT, ["N", 4])}
    y = {"y": (FLOAT, ["N", 3])}
    weights = {"w": normal(4, 3), "b": normal(3, seed=1)}
    constants = {"half": np.float32(0.5), "root": np.float32(np.sqrt(0.5))}
    keras = model(
        [
            node("Gemm", ["x", "w", "b"], ["h"], "fc"),
            node("Mul", ["half", "h"], ["p"], "mul"),
            node("Neg", ["h"], ["m"], "neg"),
            node("Mul", ["m", "root"], ["z"], "mul_1"),
            node("Erfc", ["z"], ["e"], "erfc"),
            node("Mul", ["p", "e"], ["y"], "mul_2"),
        ],
        x,
        y,
        {**weights, **constants},
        opset=15,
    )
    gemm = node("Gemm", ["x", "w", "b"], ["h"], "fc")
    plain = model([gemm, node("Gelu", ["h"], ["y"], "gelu")], x, y, weights, opset=20)
    for mode in ("default", "contrastive"):
        ours, theirs = (
            Explainer(m).explain(normal(3, 4, seed=7), mode=mode) for m in (keras, plain)
        )
        np.testing.assert_allclose(ours.outputs["y"], theirs.outputs["y"], rtol=1e-4, atol=1e-6)
        found, wanted = ours.relevance["x"], theirs.relevance["x"]
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
