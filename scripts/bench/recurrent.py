"""A recurrent network that is measured: a sequence classifier with one LSTM."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS, INPUTS, HIDDEN, CLASSES = 500, 64, 128, 10


def lstm(batch: int) -> tuple[onnx.ModelProto, dict[str, npt.NDArray[np.float32]]]:
    """x[500, batch, 64] -> LSTM of 128 -> its last state -> 10 classes."""
    rng = np.random.default_rng(3)

    def weight(*shape: int) -> npt.NDArray[np.float32]:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    weights = {
        "w": weight(1, 4 * HIDDEN, INPUTS),
        "r": weight(1, 4 * HIDDEN, HIDDEN),
        "b": weight(1, 8 * HIDDEN),
        "head": weight(CLASSES, HIDDEN),
    }
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b"], ["all", "last"], "lstm", hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["last", "first"], ["state"], "squeeze"),
        helper.make_node("Gemm", ["state", "head"], ["y"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lstm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", "batch", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [
            *(numpy_helper.from_array(w, name) for name, w in weights.items()),
            numpy_helper.from_array(np.array([0], np.int64), "first"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model, {"x": rng.standard_normal((STEPS, batch, INPUTS)).astype(np.float32)}
