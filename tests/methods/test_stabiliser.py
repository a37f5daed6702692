"""Scales of a stabiliser where samples lie in no row of their own; slopes where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["lrp(0.3)", "cnn"])
def test_one_row_for_all_samples_has_its_own_scale(mode: str, engine: Any) -> None:
    """An input [1, n] beside one of four rows: what every sample is told is what it is alone."""
    nodes = [
        node("MatMul", ["c", "w"], ["h"]),
        node("Relu", ["h"], ["a"]),
        node("MatMul", ["x", "w"], ["g"]),
        node("Relu", ["g"], ["b"]),
        node("Add", ["a", "b"], ["s"]),
        node("Tanh", ["s"], ["t"]),
        node("MatMul", ["t", "v"], ["y"]),
    ]
    kinds = {"x": (FLOAT, ["n", 4]), "c": (FLOAT, [1, 4])}
    weights = {"w": normal(4, 5), "v": normal(5, 3, seed=2)}
    explainer = Explainer(model(nodes, kinds, {"y": (FLOAT, ["n", 3])}, weights), engine=engine)
    x, c = normal(4, 4, seed=1), normal(1, 4, seed=3)
    made = explainer.explain({"x": x, "c": c}, mode=mode, target=1)
    alone = [explainer.explain({"x": x[i : i + 1], "c": c}, mode=mode, target=1) for i in range(4)]
    for i, one in enumerate(alone):
        np.testing.assert_allclose(made.relevance["x"][i], one.relevance["x"][0], rtol=1e-5)
    total = np.sum([one.relevance["c"] for one in alone], 0)
    np.testing.assert_allclose(made.relevance["c"], total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_root_of_0_contributes_nothing(engine: Any) -> None:
    """Its secant from 0 has no limit there; distances to a row that was seen are such roots."""
    nodes = [
        node("Sub", ["x", "seen"], ["d"]),
        node("Mul", ["d", "d"], ["q"]),
        node("ReduceSum", ["q", "axis"], ["r"], keepdims=1),
        node("Sqrt", ["r"], ["y"]),
    ]
    weights = {"seen": np.float32([[1, 2, 3]]), "axis": np.array([1])}
    net = model(nodes, {"x": (FLOAT, ["n", 3])}, {"y": (FLOAT, ["n", 1])}, weights)
    x = np.float32([[1, 2, 3], [1, 2, 7]])
    made = Explainer(net, engine=engine).explain(x, mode="lrp(0)", task="regression")
    assert not made.relevance["x"][0].any()
    assert made.relevance["x"][1].any()
