"""Constants computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, ModelError, RequestError
from tests.graphs import FLOAT, check_closed, mlp, model, node, normal

X = normal(3, 4, seed=5)
W = normal(4, 3)


def _with_weight(nodes: list[onnx.NodeProto], weights: dict[str, Any], **options: Any) -> Any:
    """MatMul of x and w, where `nodes` make w."""
    return model(
        [*nodes, node("MatMul", ["x", "w"], ["y"], "fc")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        weights,
        **options,
    )


WAYS = {
    "Identity": ([node("Identity", ["k"], ["w"])], {"k": W}),
    "Constant": ([node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(W))], {}),
    "Transpose": ([node("Transpose", ["k"], ["w"])], {"k": W.T.copy()}),
    "Cast": ([node("Cast", ["k"], ["w"], to=FLOAT)], {"k": W.astype(np.float64)}),
    "Reshape": ([node("Reshape", ["k", "s"], ["w"])], {"k": W.ravel(), "s": np.array([4, -1])}),
    "ConstantOfShape": (
        [node("ConstantOfShape", ["s"], ["z"]), node("Add", ["z", "k"], ["w"])],
        {"s": np.array([4, 3]), "k": W},
    ),
    "Dequantized": (
        [node("DequantizeLinear", ["k", "scale"], ["q"]), node("Mul", ["q", "f"], ["w"])],
        {"k": np.ones((4, 3), np.int8), "scale": np.float32(1), "f": W},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_weight_is_a_weight_however_it_is_written(way: str) -> None:
    wanted = Explainer(_with_weight([], {"w": W})).explain(X)
    explainer = Explainer(_with_weight(*WAYS[way]))
    found = explainer.explain(X)
    assert np.allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-6)
    assert [row.node for row in explainer.support()] == ["fc"]
    check_closed(found)


def test_initializers_listed_as_inputs_are_weights() -> None:
    proto = mlp(ir=3, opset=11)
    for tensor in proto.graph.initializer:
        value = onnx.helper.make_tensor_value_info(tensor.name, FLOAT, tensor.dims)
        proto.graph.input.append(value)
    found = Explainer(proto).explain(X)
    assert list(found.inputs) == ["x"]
    assert np.array_equal(found.relevance["x"], Explainer(mlp()).explain(X).relevance["x"])


def test_random_numbers_are_no_constants() -> None:
    nodes = [node("RandomNormal", [], ["r"], "noise", shape=[1, 4]), node("Add", ["x", "r"], ["y"])]
    proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
    assert "r" not in Explainer(proto).graph.constants


def test_an_output_that_is_constant_cannot_be_explained() -> None:
    nodes = [node("Identity", ["k"], ["c"]), node("Relu", ["x"], ["y"])]
    proto = model(
        nodes,
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4]), "c": (FLOAT, [2])},
        {"k": np.ones(2, np.float32)},
    )
    explainer = Explainer(proto)
    with pytest.raises(RequestError, match="output 'c' is a constant: it depends on no input"):
        explainer.explain(X, output="c")
    check_closed(explainer.explain(X))


HUGE = {
    "ConstantOfShape": ([node("ConstantOfShape", ["s"], ["c"])], {"s": np.array([1 << 40])}),
    "Expand": (
        [node("Expand", ["k", "s"], ["c"])],
        {"k": np.ones(1, np.float32), "s": np.array([1 << 40])},
    ),
    "Tile": (
        [node("Tile", ["k", "s"], ["c"])],
        {"k": np.ones(1, np.float32), "s": np.array([1 << 40])},
    ),
    "Range": (
        [node("Range", ["a", "b", "s"], ["i"]), node("Cast", ["i"], ["c"], to=FLOAT)],
        {"a": np.array(0), "b": np.array(1 << 40), "s": np.array(1)},
    ),
}


@pytest.mark.parametrize("way", HUGE)
def test_constants_of_terabytes_are_refused_at_once(way: str) -> None:
    nodes, weights = HUGE[way]
    proto = model(
        [*nodes, node("Add", ["x", "c"], ["y"])],
        {"x": (FLOAT, ["N", 1])},
        {"y": (FLOAT, ["N", None])},
        weights,
    )
    with pytest.raises(ModelError, match=r"would take .* GB of memory"):
        Explainer(proto)


def test_constants_that_cannot_be_computed_are_named() -> None:
    nodes = [node("Reshape", ["k", "s"], ["c"], "bad"), node("Add", ["x", "c"], ["y"])]
    proto = model(
        nodes,
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"k": np.ones(4, np.float32), "s": np.array([3])},
    )
    with pytest.raises(ModelError, match=r"constants cannot be computed.*bad"):
        Explainer(proto)


def test_integer_constants_steer() -> None:
    proto = model(
        [node("Gather", ["x", "i"], ["y"], axis=1)],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 1])},
        {"i": np.array([2])},
    )
    found = Explainer(proto).explain(X, task="regression")
    assert np.array_equal(
        found.relevance["x"][:, 2], np.abs(X[:, 2])
    )  # where a start is negative, its size
