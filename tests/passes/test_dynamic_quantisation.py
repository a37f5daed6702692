"""Integer products and the scales after them, read as one product of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.model.loading import Model, load
from backtrace_onnx.passes.dynamic_quantisation import floated
from tests.graphs import FLOAT, check_closed, model, node, normal

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "w": RANDOM.integers(-127, 128, (8, 4)).astype(np.int8),
    "zeros": np.zeros(4, np.int8),
    "scales": (0.001 + 0.01 * RANDOM.random(4)).astype(np.float32),
    "b": normal(4),
}


def _chain(scales: str = "scales") -> list[onnx.NodeProto]:
    """What dynamic quantisation writes for a linear layer."""
    return [
        node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"], "measure"),
        node("MatMulInteger", ["xq", "w", "xz", "zeros"], ["yi"], "product"),
        node("Cast", ["yi"], ["yf"], "cast", to=FLOAT),
        node("Mul", ["xs", scales], ["both"], "scales"),
        node("Mul", ["yf", "both"], ["y0"], "scaled"),
        node("Add", ["y0", "b"], ["y"], "bias"),
    ]


def _loaded(nodes: list[onnx.NodeProto], *outputs: str) -> Model:
    made = dict.fromkeys(("y", *outputs), (FLOAT, None))
    return load(model(nodes, {"x": (FLOAT, ["N", 8])}, made, WEIGHTS))


def test_a_chain_is_one_product_of_floats() -> None:
    before = _loaded(_chain())
    after = floated(before)
    kinds = ["DynamicQuantizeLinear", "DequantizeLinear", "MatMul", "Add"]
    assert [n.op_type for n in after.proto.graph.node] == kinds
    wanted = WEIGHTS["w"] * WEIGHTS["scales"]
    assert np.array_equal(after.weights[after.proto.graph.node[2].input[1]], wanted)
    ran = [made.session().run(None, {"x": normal(5, 8)})[0] for made in (before, after)]
    assert np.allclose(*ran, atol=1e-5)
    assert floated(after) is after


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Abs", ["b"], ["sizes"], "sizes"), *_chain("sizes")], ()),  # known by a run only
        (_chain(), ("yf",)),
        ([*_chain(), node("Neg", ["yf"], ["z"], "other")], ("z",)),
    ],
)
def test_a_chain_that_others_read_stays(
    nodes: list[onnx.NodeProto], outputs: tuple[str, ...]
) -> None:
    before = _loaded(nodes, *outputs)
    assert floated(before) is before


def _older() -> list[onnx.NodeProto]:
    """What older dynamic quantisation writes: the bias in steps of both scales."""
    measure, product, _, scales, _, _ = _chain()
    return [
        measure,
        scales,
        node("Div", ["b", "both"], ["far"], "divided"),
        node("Floor", ["far"], ["floor"], "floor"),
        node("Cast", ["floor"], ["steps"], "steps", to=onnx.TensorProto.INT32),
        product,
        node("Add", ["yi", "steps"], ["sum"], "bias"),
        node("Cast", ["sum"], ["yf"], "cast", to=FLOAT),
        node("Mul", ["yf", "both"], ["y"], "scaled"),
    ]


def test_a_bias_in_steps_is_that_of_the_product_of_floats() -> None:
    before = _loaded(_older())
    after = floated(before)
    assert [n.op_type for n in after.proto.graph.node][-4:] == ["MatMul", "Cast", "Mul", "Add"]
    ran = [made.session().run(None, {"x": normal(5, 8)})[0] for made in (before, after)]
    assert np.allclose(*ran, atol=1e-5)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["gradient_x_input", "lrp", "deeplift"])
def test_a_bias_in_steps_leaves_the_ledger_closed(mode: str, engine: Any) -> None:
    """The baseline has another scale, so that integers of both are no numbers to compare."""
    weights = {"w": WEIGHTS["w"] * WEIGHTS["scales"], "b": WEIGHTS["b"]}
    real = model(
        [node("MatMul", ["x", "w"], ["z"]), node("Add", ["z", "b"], ["y"])],
        {"x": (FLOAT, ["N", 8])},
        {"y": (FLOAT, None)},
        weights,
    )
    quantised = model(_older(), {"x": (FLOAT, ["N", 8])}, {"y": (FLOAT, None)}, WEIGHTS)
    x, own = normal(1, 8), {"baseline": 3 * normal(1, 8, seed=4)} if mode == "deeplift" else {}
    asked: dict[str, Any] = {"mode": mode, "task": "regression", "target": 0, **own}
    made, wanted = (Explainer(m, engine=engine).explain(x, **asked) for m in (quantised, real))
    check_closed(made)
    size = np.abs(wanted.relevance["x"]).max()
    np.testing.assert_allclose(made.relevance["x"], wanted.relevance["x"], atol=0.02 * size)
