"""Statistics of a sample are its own, whatever else lies in the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_batch_is_its_samples_bit_for_bit(engine: Any) -> None:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        node("Tanh", ["h"], ["a"]),
        node("Gemm", ["a", "v"], ["y"], transB=1),
    ]
    weights = {"w": normal(61, 37, seed=1), "b": normal(61, seed=2), "v": normal(3, 61, seed=3)}
    proto = model(nodes, {"x": (FLOAT, ["n", 37])}, {"y": (FLOAT, ["n", 3])}, weights)
    explainer, x = Explainer(proto, engine=engine), normal(5, 37, seed=4)
    for mode in ("gradient", "lrp", "lrp(0)", "cnn"):
        whole = explainer.explain(x, mode=mode, target=1).relevance["x"]
        for k in range(5):
            alone = explainer.explain(x[k : k + 1], mode=mode, target=1).relevance["x"]
            np.testing.assert_array_equal(whole[k : k + 1], alone, f"{mode}, sample {k}")
