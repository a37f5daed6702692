"""Control flow as exporters write it: scripted torch modules, recurrent Keras layers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.cases import channels
from tests.checks import MODES, assert_close
from tests.graphs import FLOAT, check_closed, model, node, normal

Array = npt.NDArray[Any]


def check_pair(found: Explainer, wanted: Explainer, x: Array) -> None:
    """One input each; the same answer and the same explanation."""
    for mode in MODES:
        ours, theirs = (explainer.explain(x, mode=mode) for explainer in (found, wanted))
        np.testing.assert_allclose(ours.outputs["y"], theirs.outputs["y"], 1e-5, 1e-6)
        limit = 2e-5 if mode == "epsilon(absolute=1e-6)" else 1e-5
        assert_close(channels(ours, "x"), channels(theirs, "x"), limit, mode)
        check_closed(ours)


def test_a_scripted_module_with_a_loop_and_a_branch_in_it() -> None:
    torch = pytest.importorskip("torch")
    from tests.control.scripted import Cell

    torch.manual_seed(0)
    cell = Cell().eval()
    explainer = Explainer(scripted(cell))
    weights = {name: w.detach().numpy() for name, w in cell.named_parameters()}
    seen: set[bool] = set()
    for steps in (4, 2):
        x = normal(1, steps, 3, seed=steps)
        halved = halvings(x, weights)
        check_pair(explainer, Explainer(unrolled(halved, weights)), x)
        seen.update(halved)
    assert seen == {True, False}


def scripted(module: Any) -> onnx.ModelProto:
    """The module as the exporter for TorchScript writes it; batch and steps are open."""
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.jit.script(module),
            (torch.zeros(2, 4, 3),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "N", 1: "T"}},
        )
    return onnx.load_model_from_string(file.getvalue())


def halvings(x: Array, weights: dict[str, Array]) -> list[bool]:
    """Which steps halve the state."""
    h, taken = np.zeros((1, 5), np.float32), []
    for t in range(x.shape[1]):
        inside = x[:, t] @ weights["inside.weight"].T + weights["inside.bias"]
        h = np.tanh(inside + h @ weights["recurrent.weight"].T + weights["recurrent.bias"])
        taken.append(bool(h.sum() > 0))
        h = h * 0.5 if taken[-1] else h
    return taken


def unrolled(halved: Sequence[bool], weights: dict[str, Array]) -> onnx.ModelProto:
    """The steps, written one after another."""
    nodes = [
        node("Shape", ["x"], ["samples"], end=1),
        node("Concat", ["samples", "five"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["h0"]),  # no constant: the batch is open
    ]
    h, rows = "h0", []
    for t, halve in enumerate(halved):
        nodes += [
            node("Gather", ["x", f"t{t}"], [f"x{t}"], axis=1),
            node("Gemm", [f"x{t}", "inside.weight", "inside.bias"], [f"a{t}"], transB=1),
            node("Gemm", [h, "recurrent.weight", "recurrent.bias"], [f"r{t}"], transB=1),
            node("Add", [f"a{t}", f"r{t}"], [f"s{t}"]),
            node("Tanh", [f"s{t}"], [f"n{t}"]),
        ]
        h = f"n{t}"
        if halve:
            nodes.append(node("Mul", [h, "half"], [f"m{t}"]))
            h = f"m{t}"
        nodes.append(node("Unsqueeze", [h, "one"], [f"row{t}"]))
        rows.append(f"row{t}")
    nodes += [
        node("Concat", rows, ["rows"], axis=1),
        node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        node("Gemm", ["mean", "head.weight", "head.bias"], ["y"], transB=1),
    ]
    steps = {f"t{t}": np.int64(t) for t in range(len(halved))}
    fixed = {"half": np.float32(0.5), "one": np.array([1]), "five": np.array([5])}
    return model(
        nodes,
        {"x": (FLOAT, ["N", len(halved), 3])},
        {"y": (FLOAT, ["N", 2])},
        dict[str, Any](**weights, **steps, **fixed),
        opset=17,
    )


CELLS = {
    "GRU": ("GRUCell", {}),
    "GRU that resets before": ("GRUCell", {"reset_after": False}),
    "RNN": ("SimpleRNNCell", {}),
    "LSTM": ("LSTMCell", {"recurrent_activation": "softsign"}),  # with sigmoid it is no Loop
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_keras_layer_that_becomes_a_loop(kind: str) -> None:
    keras = pytest.importorskip("keras")
    tf2onnx = pytest.importorskip("tf2onnx")
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    name, options = CELLS[kind]
    cell = getattr(keras.layers, name)(5, bias_initializer="random_normal", **options)
    net = keras.Sequential([keras.Input((6, 4)), keras.layers.RNN(cell), keras.layers.Dense(3)])
    net.output_names = ["y"]
    spec = (tf.TensorSpec([None, 6, 4], tf.float32, name="x"),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto, _ = tf2onnx.convert.from_keras(net, spec, opset=17)
    assert "Loop" in {n.op_type for n in proto.graph.node}
    x = normal(2, 6, 4)
    check_pair(Explainer(proto), Explainer(native(kind.split()[0], net.get_weights())), x)


def native(op: str, weights: Sequence[Array]) -> onnx.ModelProto:
    """The same net with ONNX's own cell."""
    kernel, recurrent, bias, head, head_bias = weights
    attributes: dict[str, Any] = {"linear_before_reset": bias.ndim - 1} if op == "GRU" else {}
    if op == "LSTM":
        kernel, recurrent, bias = (
            np.concatenate([np.split(w, 4, -1)[gate] for gate in (0, 3, 1, 2)], -1)
            for w in (kernel, recurrent, bias)
        )
        attributes["activations"] = ["Softsign", "Tanh", "Tanh"]
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return model(
        [
            node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
            node(op, ["steps", "w", "r", "b"], ["", "last"], hidden_size=5, **attributes),
            node("Squeeze", ["last", "zero"], ["h"]),
            node("Gemm", ["h", "head", "head_bias"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 6, 4])},
        {"y": (FLOAT, ["N", 3])},
        {
            "w": np.ascontiguousarray(kernel.T[None]),
            "r": np.ascontiguousarray(recurrent.T[None]),
            "b": both.reshape(1, -1),
            "head": head,
            "head_bias": head_bias,
            "zero": np.array([0]),
        },
    )
