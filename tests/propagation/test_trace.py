"""The forward run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from backtrace_onnx import Explainer, InputError
from tests.graphs import FLOAT, check_closed, mlp, model, node, normal

X = normal(3, 4, seed=5)


def test_outputs_are_the_models_own() -> None:
    import onnxruntime as ort

    found = Explainer(mlp()).explain(X)
    session = ort.InferenceSession(mlp().SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(found.outputs["y"], session.run(["y"], {"x": X})[0])


def test_inputs_the_model_cannot_run_on_are_named() -> None:
    proto = model(
        [node("Add", ["a", "b"], ["y"], "sum")],
        {"a": (FLOAT, ["N", 4]), "b": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
    )
    with pytest.raises(InputError, match=r"a float32\[3, 4\], b float32\[2, 4\].*'sum'"):
        Explainer(proto).explain({"a": X, "b": X[:2]})


def test_modes_that_ask_alike_but_for_books_do_not_meet() -> None:
    """gamma weighs what lies between two convolutions, a gradient without books asks its shape."""
    nodes = [
        node("Conv", ["x", "w"], ["h"], kernel_shape=[3]),
        node("Conv", ["h", "v"], ["y"], kernel_shape=[3]),
    ]
    kinds: Any = {"x": (FLOAT, ["n", 2, 9])}, {"y": (FLOAT, ["n", 3, 5])}
    net = model(nodes, *kinds, {"w": normal(4, 2, 3), "v": normal(3, 4, 3, seed=1)})
    x, asked = normal(2, 2, 9, seed=2), {"mode": "integrated_gradients(steps=2)", "target": 1}
    explainer = Explainer(net)
    explainer.explain(x, mode="gamma(0.25)", target=1)
    found = explainer.explain(x, **asked).relevance["x"]
    np.testing.assert_array_equal(found, Explainer(net).explain(x, **asked).relevance["x"])


@pytest.mark.parametrize("op_type", ["Log", "Sqrt", "Reciprocal"])
def test_an_answer_that_is_no_number_is_an_error(op_type: str) -> None:
    proto = model([node(op_type, ["x"], ["y"])], {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])})
    x = np.array([[1, -1], [0, -1]], np.float32)
    with pytest.raises(InputError, match=r"output 'y' holds NaN or Inf.*first at \((0, 1|1, 0)\)"):
        Explainer(proto).explain(x)


def test_any_batch_size_runs_on_one_explainer() -> None:
    explainer = Explainer(mlp())
    for count in (1, 7, 2, 1):
        found = explainer.explain(normal(count, 4, seed=count))
        assert found.relevance["x"].shape == (count, 4)
        check_closed(found)


def test_dynamic_inner_axes_run() -> None:
    nodes = [node("Conv", ["x", "k"], ["h"]), node("GlobalAveragePool", ["h"], ["y"])]
    proto = model(
        nodes,
        {"x": (FLOAT, [None, 1, None, None])},
        {"y": (FLOAT, None)},
        {"k": normal(2, 1, 3, 3)},
    )
    explainer = Explainer(proto)
    for size in (5, 9):
        check_closed(explainer.explain(normal(2, 1, size, size + 1)))


def test_a_large_weight_that_nothing_reads_does_no_harm() -> None:
    proto = mlp()
    proto.graph.initializer.append(numpy_helper.from_array(normal(50, 50), "dead"))
    found, wanted = (Explainer(m).explain(normal(2, 4)) for m in (proto, mlp()))
    assert np.array_equal(found.relevance["x"], wanted.relevance["x"])


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_factors_of_dequantised_weights_are_not_rounded(dtype: type, engine: Any) -> None:
    """onnxruntime may fuse weights and product into one that rounds the other factor to 8 bits."""
    weights = np.random.default_rng(7).integers(0, 100, (8, 3)).astype(dtype)
    scales, zeros = np.linspace(0.003, 0.006, 3, dtype=np.float32), np.zeros(3, dtype)
    proto = model(
        [
            node("DequantizeLinear", ["w", "scales", "zeros"], ["real"], axis=1),
            node("MatMul", ["x", "real"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 8])},
        {"y": (FLOAT, ["N", 3])},
        {"w": weights, "scales": scales, "zeros": zeros},
        opset=21,
    )
    x, real = normal(4, 8, seed=1), weights * scales
    found = Explainer(proto, engine=engine).explain(x, target=2, mode="epsilon(absolute=1e-6)")
    np.testing.assert_allclose(found.outputs["y"], x @ real, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.relevance["x"], x * real[:, 2], rtol=1e-4, atol=1e-6)
