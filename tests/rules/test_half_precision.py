"""Half-precision models: relevance is computed in float32, as for the same model in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.cases import (
    Array,
    Case,
    Fixed,
    chain,
    channels,
    fixed,
    generator,
    link,
    normal,
    one,
    starts,
)
from tests.checks import assert_close, check_compiled, check_ledger
from tests.graphs import HALF, model, node


def _cases(dtype: npt.DTypeLike) -> dict[str, Case]:
    """The same numbers, all of them half-precision ones, in either type."""
    rng = generator("half")

    def data(*shape: int) -> Array:
        return normal(rng, *shape, dtype=np.float16).astype(dtype)

    def held(*shape: int) -> Fixed:
        return fixed(data(*shape))

    x, image, scales = data(2, 4), data(1, 2, 4, 4), fixed(np.array([1, 1, 2, 1.5], np.float32))
    statistics = [fixed(np.exp2(np.round(data(2))).astype(dtype)) for _ in range(4)]
    return {
        "Gemm": chain(x, link("Gemm", held(4, 5), held(5)), link("Relu")),
        "Gemm, scaled, gated": chain(x, link("Gemm", held(4, 5), held(5), alpha=2.0), link("Tanh")),
        "MatMul": one("MatMul", x, data(4, 3)),
        "Add": one("Add", x, held(4)),
        "Max": one("Max", x, held(4)),
        "Conv": one("Conv", image, held(3, 2, 3, 3), held(3)),
        "BatchNormalization": one("BatchNormalization", image, *statistics),
        "ReduceMean": one("ReduceMean", x, fixed([1])),
        "MaxPool": one("MaxPool", image, kernel_shape=[2, 2]),
        "nearest": one("Resize", image, None, scales, mode="nearest"),
        "linear": one("Resize", image, None, scales, mode="linear"),
    }


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("name", _cases(np.float32))
def test_half_precision(name: str, mode: str, tmp_path: Path) -> None:
    half, single = _cases(np.float16)[name], _cases(np.float32)[name]
    r = starts(single, mode)
    got, want = half.explain(mode, r), single.explain(mode, r)
    for feed in half.feeds:
        assert got.relevance[feed].dtype == np.float32
        assert_close(channels(got, feed), channels(want, feed), 1e-5, f"{mode} {feed}")
    check_ledger(got)
    check_compiled(half, mode, r, got, tmp_path)


def _classifier(kept: int) -> onnx.ModelProto:
    """Convolution, tanh, pooling and a layer in float16; input and output of type `kept`."""
    rng = np.random.default_rng(3)

    def fixed(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.2).astype(np.float16)

    half = onnx.TensorProto.FLOAT16
    nodes = [
        onnx.helper.make_node("Cast", ["x"], ["h"], to=half),
        onnx.helper.make_node("Conv", ["h", "k", "c"], ["conv"]),
        onnx.helper.make_node("Tanh", ["conv"], ["bent"]),
        onnx.helper.make_node("AveragePool", ["bent"], ["pool"], kernel_shape=[2, 2]),
        onnx.helper.make_node("Flatten", ["pool"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "w", "b"], ["scores"]),
        onnx.helper.make_node("Cast", ["scores"], ["y"], to=kept),
    ]
    weights = {"k": fixed(4, 2, 3, 3), "c": fixed(4), "w": fixed(100, 5), "b": fixed(5)}
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "classifier",
            [onnx.helper.make_tensor_value_info("x", kept, ["N", 2, 8, 8])],
            [onnx.helper.make_tensor_value_info("y", kept, ["N", 5])],
            [onnx.numpy_helper.from_array(w, name) for name, w in weights.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=9,
    )


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
@pytest.mark.parametrize("kept", [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16])
def test_engines_read_the_same_values(mode: str, kept: int) -> None:
    """onnxruntime leaves out the rounding between nodes, which both engines must do alike."""
    proto, dtype = _classifier(kept), onnx.helper.tensor_dtype_to_np_dtype(kept)
    x = np.random.default_rng(4).standard_normal((3, 2, 8, 8)).astype(dtype)
    ours = Explainer(proto).explain(x, mode=mode).relevance["x"]
    theirs = Explainer(proto, engine="onnxruntime").explain(x, mode=mode).relevance["x"]
    rounded = 1e-5 if kept == onnx.TensorProto.FLOAT else 1e-3  # of the start, which is the answer
    assert np.abs(ours - theirs).max() < rounded * np.abs(ours).max()


@pytest.mark.parametrize("mode", ["default", "contrastive", "lrp"])
@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization_of_halves_compiles(opset: int, mode: str) -> None:
    """ONNX infers neither type nor rank of what it makes."""
    rng = generator("groups")
    scale = np.ones(2 if opset == 18 else 4, np.float16)
    weights = {"g": scale, "b": scale, "k": normal(rng, 3, 4, 1, 1, dtype=np.float16)}
    nodes = [
        node("GroupNormalization", ["x", "g", "b"], ["n"], num_groups=2),
        node("Conv", ["n", "k"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    proto = model(
        nodes, {"x": (HALF, ["N", 4, 4, 4])}, {"y": (HALF, ["N", 3])}, weights, opset=opset
    )
    x = normal(rng, 2, 4, 4, 4, dtype=np.float16)
    eager = Explainer(proto).explain(x, mode=mode)
    compiled = Explainer(proto, engine="onnxruntime").explain(x, mode=mode)
    largest = np.abs(eager.relevance["x"]).max()
    assert eager.relevance["x"].dtype == compiled.relevance["x"].dtype == np.float32
    np.testing.assert_allclose(
        compiled.relevance["x"] / largest, eager.relevance["x"] / largest, atol=2e-3
    )
