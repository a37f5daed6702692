"""Where channels, heads and units lie, by the operators around a tensor."""

from __future__ import annotations

import numpy as np

from backtrace_onnx import Explainer
from backtrace_onnx.graph.tensor_channels import channel_axis
from tests.graphs import FLOAT, model, node, normal


def test_heads_of_attention_and_units_of_layers() -> None:
    shape, back = np.array([0, 0, 2, 4]), np.array([0, 0, 8])
    nodes = []
    for name in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{name}"], [name]),
            node("Reshape", [name, "shape"], [f"{name}_split"]),
            node("Transpose", [f"{name}_split"], [f"{name}_heads"], perm=[0, 2, 1, 3]),
        ]
    nodes += [
        node("Transpose", ["k_heads"], ["k_turned"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q_heads", "k_turned"], ["scores"]),
        node("Softmax", ["scores"], ["weights"], axis=-1),
        node("MatMul", ["weights", "v_heads"], ["context"]),
        node("Transpose", ["context"], ["context_split"], perm=[0, 2, 1, 3]),
        node("Reshape", ["context_split", "back"], ["merged"]),
        node("MatMul", ["merged", "wo"], ["y"]),
    ]
    weights = {f"w{n}": normal(8, 8) for n in "qkvo"} | {"shape": shape, "back": back}
    kinds = {"x": (FLOAT, ["n", "t", 8])}, {"y": (FLOAT, ["n", "t", 8])}
    graph = Explainer(model(nodes, *kinds, weights)).graph
    axes = {name: channel_axis(graph, name) for name in ("q", "q_split", "q_heads", "k_turned")}
    assert axes == {"q": 2, "q_split": 2, "q_heads": 1, "k_turned": 1}
    axes = {n: channel_axis(graph, n) for n in ("scores", "weights", "context", "context_split")}
    assert axes == {"scores": 1, "weights": 1, "context": 1, "context_split": 2}
    assert channel_axis(graph, "x") == 2
    assert channel_axis(graph, "merged") == 2


def test_pictures_with_channels_last() -> None:
    nodes = [
        node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        node("Conv", ["first", "w"], ["c"], kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("Transpose", ["r"], ["last"], perm=[0, 2, 3, 1]),
        node("GlobalAveragePool", ["r"], ["y"]),
    ]
    kinds = {"x": (FLOAT, ["n", 6, 6, 3])}, {"y": (FLOAT, ["n", 5, 1, 1]), "last": (FLOAT, None)}
    graph = Explainer(model(nodes, *kinds, {"w": normal(5, 3, 3, 3)})).graph
    assert [channel_axis(graph, name) for name in ("c", "r", "last", "first")] == [1, 1, 3, 1]
    assert channel_axis(graph, "x") is None
