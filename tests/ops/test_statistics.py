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


def _rows_of_samples() -> Any:
    """x[n, 5, 4] -> rows [5 n, 4] of a layer -> their mean."""
    nodes = [
        node("Reshape", ["x", "rows"], ["r"]),
        node("Gemm", ["r", "w", "b"], ["h"], transB=1),
        node("Relu", ["h"], ["a"]),
        node("Reshape", ["a", "apart"], ["s"]),
        node("ReduceMean", ["s", "one"], ["m"], keepdims=0),
        node("Gemm", ["m", "v"], ["y"], transB=1),
    ]
    weights = {"w": normal(8, 4, seed=1), "b": normal(8, seed=2), "v": normal(3, 8, seed=3)}
    weights |= {"rows": np.array([-1, 4]), "apart": np.array([-1, 5, 8]), "one": np.array([1])}
    return model(nodes, {"x": (FLOAT, ["n", 5, 4])}, {"y": (FLOAT, ["n", 3])}, weights)


def _entries_of_samples() -> Any:
    """x[n, 20] -> [20 n], a function of each entry -> x[n, 20] again."""
    nodes = [
        node("Reshape", ["x", "flat"], ["f"]),
        node("Add", ["f", "c"], ["g"]),
        node("Tanh", ["g"], ["a"]),
        node("Reshape", ["a", "apart"], ["s"]),
        node("Gemm", ["s", "v"], ["y"], transB=1),
    ]
    weights = {"flat": np.array([-1]), "c": np.float32(0.3), "apart": np.array([-1, 20])}
    inputs, outputs = {"x": (FLOAT, ["n", 20])}, {"y": (FLOAT, ["n", 3])}
    return model(nodes, inputs, outputs, {**weights, "v": normal(3, 20, seed=3)})


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["lrp", "cnn"])
@pytest.mark.parametrize("proto", [_rows_of_samples(), _entries_of_samples()])
def test_rows_that_are_parts_of_a_sample_have_its_statistics(
    proto: Any, mode: str, engine: Any
) -> None:
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    x = normal(4, *shape, seed=5)
    x[1:] *= 5  # other samples are of another scale
    explainer = Explainer(proto, engine=engine)
    whole = explainer.explain(x, mode=mode, target=1).relevance["x"]
    for k in range(4):
        alone = explainer.explain(x[k : k + 1], mode=mode, target=1).relevance["x"]
        np.testing.assert_allclose(whole[k : k + 1], alone, rtol=1e-5, atol=1e-6)
