"""Sums in whole numbers behind integer products are explained as the floats they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.cases import session
from tests.checks import check_ledger
from tests.expansions.checks import explained
from tests.graphs import FLOAT, model, node, normal

INT32 = onnx.TensorProto.INT32
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
SCALE = np.float32(0.02)
X = normal(2, 6)
WEIGHT = np.random.default_rng(1).integers(-127, 128, (6, 4)).astype(np.int8)
BIAS = np.array([900, -2500, 40, 3000], np.int32)
HEAD = normal(4, 3, seed=2)


def network(nodes: Sequence[onnx.NodeProto], **weights: np.ndarray) -> onnx.ModelProto:
    """x[N, 6] in 8 bits, nodes that make whole[N, 4] of them, scaled, and a layer on top."""
    before = [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "quantise")]
    after = [
        node("Cast", ["whole"], ["real"], "cast", to=FLOAT),
        node("Mul", ["s", "t"], ["both"], "scales"),
        node("Mul", ["real", "both"], ["h"], "scaling"),
        node("Relu", ["h"], ["a"], "relu"),
        node("MatMul", ["a", "head"], ["y"], "top"),
    ]
    given = {"w": WEIGHT, "b": BIAS, "t": SCALE, "head": HEAD, **weights}
    return model(
        [*before, *nodes, *after], {"x": (FLOAT, ["N", 6])}, {"y": (FLOAT, ["N", 3])}, given
    )


def product(name: str = "p", weight: str = "w") -> onnx.NodeProto:
    return node("MatMulInteger", ["q", weight, "z"], [name], f"product_{name}")


def scales(x: np.ndarray) -> np.ndarray:
    """The scale of the 8-bit data, which covers 0."""
    return np.float32(max(x.max(), 0) - min(x.min(), 0)) / np.float32(255)


def meant(weight: np.ndarray, bias: np.ndarray, x: np.ndarray = X) -> onnx.ModelProto:
    """The network of floats that stands for, where x is rounded."""
    return model(
        [
            node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "quantise"),
            node("DequantizeLinear", ["q", "s", "z"], ["r"], "read"),
            node("Gemm", ["r", "w", "b"], ["h"], "gemm"),
            node("Relu", ["h"], ["a"], "relu"),
            node("MatMul", ["a", "head"], ["y"], "top"),
        ],
        {"x": (FLOAT, ["N", 6])},
        {"y": (FLOAT, ["N", 3])},
        {
            "w": np.float32(weight) * SCALE,
            "b": np.float32(bias) * scales(x) * SCALE,
            "head": HEAD,
        },
    )


SECOND = WEIGHT[::-1].copy()
WAYS = {
    "added": ([product(), node("Add", ["p", "b"], ["whole"])], WEIGHT, BIAS),
    "added to": ([product(), node("Add", ["b", "p"], ["whole"])], WEIGHT, BIAS),
    "subtracted": ([product(), node("Sub", ["p", "b"], ["whole"])], WEIGHT, -BIAS),
    "added twice": (
        [product(), node("Add", ["p", "b"], ["c"]), node("Add", ["b", "c"], ["whole"])],
        WEIGHT,
        2 * BIAS,
    ),
    "reshaped": (
        [
            product(),
            node("Reshape", ["p", "apart"], ["r"]),
            node("Add", ["r", "b"], ["c"]),
            node("Reshape", ["c", "together"], ["whole"]),
        ],
        WEIGHT,
        BIAS,
    ),
    "turned": (
        [
            product(),
            node("Transpose", ["p"], ["turned"], perm=[1, 0]),
            node("Unsqueeze", ["b", "one"], ["column"]),
            node("Add", ["turned", "column"], ["c"]),
            node("Transpose", ["c"], ["whole"], perm=[1, 0]),
        ],
        WEIGHT,
        BIAS,
    ),
    "scaled": (
        [product(), node("Mul", ["p", "three"], ["m"]), node("Add", ["m", "b"], ["whole"])],
        3 * np.int32(WEIGHT),
        BIAS,
    ),
}
EXTRA = {
    "apart": np.array([0, 1, 4]),
    "together": np.array([0, 4]),
    "one": np.array([1]),
    "three": np.int32(3),
    "w2": SECOND,
}


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("name", WAYS)
def test_as_the_floats_they_stand_for(name: str, engine: Literal["numba", "onnxruntime"]) -> None:
    nodes, weight, bias = WAYS[name]
    proto = network(nodes, **EXTRA)
    (answer,) = session(proto).run(None, {"x": X})
    for mode in MODES:
        ours = Explainer(proto, engine=engine).explain(X, mode=mode)
        theirs = explained(meant(weight, bias), X, mode)
        np.testing.assert_allclose(ours.outputs["y"], answer, rtol=1e-5, atol=1e-6)
        top = np.abs(theirs.relevance["x"]).max()
        np.testing.assert_allclose(ours.relevance["x"], theirs.relevance["x"], atol=2e-5 * top)
        assert top > 0
        check_ledger(ours)


@pytest.mark.parametrize("mode", MODES)
def test_sums_of_products(mode: str) -> None:
    nodes = [product(), product("p2", "w2"), node("Add", ["p", "p2"], ["c"])]
    nodes.append(node("Add", ["c", "b"], ["whole"]))
    ours = explained(network(nodes, **EXTRA), X, mode)
    floats = meant(WEIGHT, BIAS)
    gemm = floats.graph.node[2]
    gemm.output[0] = "first"
    floats.graph.node.insert(3, node("MatMul", ["r", "w2"], ["second"]))
    floats.graph.node.insert(4, node("Add", ["first", "second"], ["h"]))
    floats.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(SECOND) * SCALE, "w2"))
    theirs = explained(floats, X, mode)
    top = np.abs(theirs.relevance["x"]).max()
    np.testing.assert_allclose(ours.relevance["x"], theirs.relevance["x"], atol=2e-5 * top)


@pytest.mark.parametrize("mode", MODES)
def test_convolutions(mode: str) -> None:
    x, scale = normal(2, 3, 5, 5), np.float32(0.05)
    weight = np.random.default_rng(3).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    bias = np.array([500, -700, 0, 1200], np.int32)
    quantise = node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "quantise")
    inputs, outputs = {"x": (FLOAT, ["N", 3, 5, 5])}, {"y": (FLOAT, ["N", 4, 3, 3])}
    whole = model(
        [
            quantise,
            node("ConvInteger", ["q", "w", "z"], ["p"], "conv"),
            node("Add", ["p", "b"], ["c"], "bias"),
            node("Cast", ["c"], ["real"], "cast", to=FLOAT),
            node("Mul", ["s", "t"], ["both"], "scales"),
            node("Mul", ["real", "both"], ["h"], "scaling"),
            node("Relu", ["h"], ["y"], "relu"),
        ],
        inputs,
        outputs,
        {"w": weight, "b": bias.reshape(1, 4, 1, 1), "t": scale},
    )
    floats = model(
        [
            quantise,
            node("DequantizeLinear", ["q", "s", "z"], ["r"], "read"),
            node("Conv", ["r", "w", "b"], ["h"], "conv"),
            node("Relu", ["h"], ["y"], "relu"),
        ],
        inputs,
        outputs,
        {"w": np.float32(weight) * scale, "b": np.float32(bias) * scales(x) * scale},
    )
    ours, theirs = (explained(m, x, mode, task="regression") for m in (whole, floats))
    top = np.abs(theirs.relevance["x"]).max()
    np.testing.assert_allclose(ours.relevance["x"], theirs.relevance["x"], atol=2e-5 * top)
    assert top > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_bias_that_is_rounded_while_the_model_runs_is_a_bias(mode: str) -> None:
    nodes = [
        product(),
        node("Mul", ["s", "t"], ["step"]),
        node("Div", ["real_b", "step"], ["far"]),
        node("Floor", ["far"], ["floor"]),
        node("Cast", ["floor"], ["b_q"], to=INT32),
        node("Add", ["p", "b_q"], ["whole"]),
    ]
    real = np.array([0.5, -0.3, 0.1, 0.7], np.float32)
    made = explained(network(nodes, real_b=real), X, mode)
    total = made.ledger.total()
    assert np.abs(made.relevance["x"]).sum() > 0.2 * np.abs(total.start).sum()
    assert np.abs(total.unassigned).max() < 1e-4 * np.abs(total.start).max()


def test_whole_numbers_that_are_an_output_stay_whole() -> None:
    proto = network([product(), node("Add", ["p", "b"], ["whole"])])
    proto.graph.output.append(onnx.helper.make_tensor_value_info("whole", INT32, ["N", 4]))
    made = Explainer(proto).explain(X, output="y")
    wanted = session(proto).run(["whole"], {"x": X})[0]
    np.testing.assert_array_equal(made.outputs["whole"], wanted)
    assert made.outputs["whole"].dtype == np.int32
    assert made.relevance["x"].any()
