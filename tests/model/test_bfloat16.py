"""Models in bfloat16 are explained as the same ones in float32."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx import Explainer
from backtrace_onnx.model.bfloat16 import NOTE
from tests.graphs import check_closed, model, node, normal

BFLOAT16, FLOAT = TensorProto.BFLOAT16, TensorProto.FLOAT
X = normal(2, 4).astype(ml_dtypes.bfloat16)


def network(kind: int) -> onnx.ModelProto:
    """x[N, 4] to y[N, 3] with weights, a constant, a cast and a branch of this type."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def narrow(*shape: int) -> np.ndarray:
        return normal(*shape, seed=sum(shape)).astype(ml_dtypes.bfloat16).astype(dtype)

    half = numpy_helper.from_array(narrow(1), "half")
    branch = helper.make_graph(
        [node("Mul", ["h", "scale"], ["b"], "times")],
        "branch",
        [],
        [helper.make_tensor_value_info("b", kind, ["N", 5])],
        [numpy_helper.from_array(narrow(5), "scale")],
    )
    other = helper.make_graph(
        [node("Identity", ["h"], ["i"], "same")],
        "other",
        [],
        [helper.make_tensor_value_info("i", kind, ["N", 5])],
    )
    nodes = [
        node("Cast", ["x"], ["c"], "cast", to=kind),
        node("Gemm", ["c", "w", "v"], ["g"], "gemm"),
        node("Constant", [], ["half"], "constant", value=half),
        node("Add", ["g", "half"], ["s"], "add"),
        node("Tanh", ["s"], ["h"], "tanh"),
        node("If", ["yes"], ["a"], "if", then_branch=branch, else_branch=other),
        node("MatMul", ["a", "u"], ["y"], "matmul"),
    ]
    weights = {"w": narrow(4, 5), "v": narrow(5), "u": narrow(5, 3), "yes": np.array(True)}
    return model(nodes, {"x": (kind, ["N", 4])}, {"y": (kind, ["N", 3])}, weights)


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_as_in_float32(mode: str) -> None:
    ours = Explainer(network(BFLOAT16)).explain(X, mode=mode)
    theirs = Explainer(network(FLOAT)).explain(np.float32(X), mode=mode)
    np.testing.assert_array_equal(ours.relevance["x"], theirs.relevance["x"])
    np.testing.assert_array_equal(ours.outputs["y"], theirs.outputs["y"])
    assert NOTE in ours.notes and NOTE not in theirs.notes
    check_closed(ours)


def test_compiled(tmp_path: Path) -> None:
    explainer = Explainer(network(BFLOAT16))
    explainer.compile(tmp_path / "explained.onnx")
    session = ort.InferenceSession(tmp_path / "explained.onnx")
    y, r = session.run(None, {"x": np.float32(X)})
    made = explainer.explain(np.float32(X))
    np.testing.assert_allclose(y, made.outputs["y"], rtol=1e-5)
    np.testing.assert_allclose(r, made.relevance["x"], atol=1e-6)


def test_weights_in_a_file_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = network(BFLOAT16)
    onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    ours, theirs = Explainer(path).explain(X), Explainer(network(FLOAT)).explain(np.float32(X))
    np.testing.assert_array_equal(ours.relevance["x"], theirs.relevance["x"])
