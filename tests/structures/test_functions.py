"""Slopes of functions, where they are infinite and where they are 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal

W, V = normal(4, 6, seed=1), normal(6, 3, seed=2)
X = normal(5, 4, seed=3)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_relu_hands_on_where_it_is_positive(engine: Any, dtype: Any) -> None:
    nodes = [
        node("MatMul", ["x", "W"], ["h"], "first"),
        node("Relu", ["h"], ["a"], "relu"),
        node("MatMul", ["a", "V"], ["y"], "second"),
    ]
    kind = FLOAT if dtype == np.float32 else 11
    weights = {"W": W.astype(dtype), "V": V.astype(dtype)}
    made = model(nodes, {"x": (kind, ["n", 4])}, {"y": (kind, ["n", 3])}, weights)
    x = X.astype(dtype)
    x[0] = 0  # at the corner of every unit, where frameworks take 0
    start = normal(5, 3, seed=4).astype(dtype)
    found = Explainer(made, engine=engine).explain(x, mode="gradient", start=start)
    wide = {name: w.astype(np.float64) for name, w in weights.items()}
    expected = ((start @ wide["V"].T) * (x @ wide["W"] > 0)) @ wide["W"].T
    np.testing.assert_allclose(found.relevance["x"], expected, rtol=1e-5, atol=1e-6)


def test_an_infinite_slope_goes_no_further_than_a_relu_that_is_shut(tmp_path: Path) -> None:
    """As torch has it: the root of 0 is infinitely steep, and behind it lies a slope of 0."""
    nodes = [node("Relu", ["x"], ["a"], "relu"), node("Sqrt", ["a"], ["y"], "root")]
    made = model(nodes, {"x": (FLOAT, ["n", 3])}, {"y": (FLOAT, ["n", 3])})
    x = np.array([[4.0, -1.0, 0.25]], np.float32)
    Explainer(made).compile(tmp_path / "slopes.onnx", mode="gradient", start=True)
    session = ort.InferenceSession(tmp_path / "slopes.onnx")
    (found,) = session.run(["relevance/x"], {"x": x, "start": np.ones_like(x)})
    np.testing.assert_allclose(found, [[0.25, 0, 1]], rtol=1e-6)
