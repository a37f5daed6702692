"""8-bit data: read once, and weighed against each other as floats."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.model.loading import Model, load
from backtrace_onnx.passes.narrow_integers import read_before, read_once, widened
from tests.graphs import FLOAT, model, node

X = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 4)).astype(np.uint8)
WEIGHTS: dict[str, Any] = {"s": np.float32(0.1), "z": np.uint8(7)}
READ = [node("DequantizeLinear", ["x", "s", "z"], [name], f"read {name}") for name in "abc"]


def _loaded(nodes: list[onnx.NodeProto], *outputs: str) -> Model:
    made = dict.fromkeys(outputs, (FLOAT, None))
    given = {"x": (onnx.TensorProto.UINT8, [2, 1, 4, 4])}
    return load(model(nodes, given, made, WEIGHTS, opset=20))


def _kinds(changed: Model) -> list[str]:
    return [n.op_type for n in changed.proto.graph.node]


def _same(before: Model, after: Model) -> bool:
    ran = [made.session().run(None, {"x": X}) for made in (before, after)]
    return all(np.array_equal(a, b) for a, b in zip(*ran, strict=True))


def test_what_is_read_thrice_is_read_once() -> None:
    before = _loaded([*READ, node("Sum", ["a", "b", "c"], ["y"])], "y")
    after = read_once(before)
    assert _kinds(after) == ["DequantizeLinear", "Sum"]
    assert list(after.proto.graph.node[1].input) == ["a", "a", "a"]
    assert _kinds(before) == ["DequantizeLinear"] * 3 + ["Sum"] and _same(before, after)


def test_a_body_reads_the_one_that_is_left() -> None:
    kind = onnx.helper.make_tensor_value_info("r", FLOAT, None)
    body = onnx.helper.make_graph([node("Neg", ["b"], ["r"], "inner")], "body", [], [kind])
    nodes = [
        *READ[:2],
        node("ReduceMax", ["a"], ["most"], "most", keepdims=0),
        node("Cast", ["most"], ["whether"], "cast", to=onnx.TensorProto.BOOL),
        node("If", ["whether"], ["z2"], "if", then_branch=body, else_branch=body),
        node("Add", ["z2", "a"], ["y"], "add"),
    ]
    before = _loaded(nodes, "y")
    after = read_once(before)
    assert _kinds(after).count("DequantizeLinear") == 1 and _same(before, after)


def test_an_output_and_another_scale_stay() -> None:
    before = _loaded([*READ[:2], node("Add", ["a", "b"], ["y"])], "y", "b")
    assert read_once(before) is before
    other = node("DequantizeLinear", ["x", "s"], ["b"], "other")
    before = _loaded([READ[0], other, node("Add", ["a", "b"], ["y"])], "y")
    assert read_once(before) is before


def test_a_pool_of_bytes_weighs_floats() -> None:
    nodes = [
        READ[0],
        node("QuantizeLinear", ["a", "s", "z"], ["q"], "round"),
        node("MaxPool", ["q"], ["p"], "pool", kernel_shape=[2, 2]),
        node("DequantizeLinear", ["p", "s", "z"], ["y"], "read"),
    ]
    before = _loaded(nodes, "y")
    after = widened(before)
    assert _kinds(after)[2:] == ["Cast", "MaxPool", "Cast", "DequantizeLinear"]
    assert _same(before, after)
    assert widened(after) is after


def test_bytes_that_are_chosen_are_weighed_as_floats_in_every_model() -> None:
    nodes = [
        node("MaxPool", ["x"], ["p"], "pool", kernel_shape=[2, 2]),
        node("Cast", ["p"], ["y"], "cast", to=FLOAT),
    ]
    before = _loaded(nodes, "y")
    after = widened(before)
    assert _kinds(after) == ["Cast", "MaxPool", "Cast", "Cast"] and _same(before, after)


def test_bytes_that_are_mixed_stay_where_nothing_is_quantised() -> None:
    scales = np.array([1, 1, 2, 2], np.float32)
    nodes = [
        node("Resize", ["x", "", "scales"], ["p"], "resize", mode="linear"),
        node("Cast", ["p"], ["y"], "cast", to=FLOAT),
    ]
    made = {"y": (FLOAT, None)}
    given = {"x": (onnx.TensorProto.UINT8, [2, 1, 4, 4])}
    before = load(model(nodes, given, made, {"scales": scales}, opset=20))
    assert widened(before) is before


CHOSEN = [
    node("MaxPool", ["x"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
    node("Transpose", ["p"], ["t"], "turn", perm=[0, 1, 3, 2]),
    node("Concat", ["t", "t"], ["c"], "twice", axis=1),
    node("Flatten", ["c"], ["v"], "flat"),
]


def test_bytes_are_read_before_they_are_chosen_and_moved() -> None:
    nodes = [
        *CHOSEN,
        node("DequantizeLinear", ["v", "s", "z"], ["one"], "read"),
        node("DequantizeLinear", ["v", "s", "z"], ["other"], "again"),
        node("Add", ["one", "other"], ["y"], "add"),
    ]
    before = _loaded(nodes, "y")
    after = read_before(before)
    kinds = _kinds(after)
    assert kinds[0] == "DequantizeLinear" and kinds.count("DequantizeLinear") == 1
    assert sorted(kinds[1:]) == ["Add", "Concat", "Flatten", "MaxPool", "Transpose"]
    assert _same(before, after) and read_before(after) is after


def test_bytes_that_something_else_reads_stay() -> None:
    other = [
        node("DequantizeLinear", ["v", "s", "z"], ["y"], "read"),
        node("Cast", ["v"], ["raw"], "cast", to=FLOAT),
    ]
    before = _loaded([*CHOSEN, *other], "y", "raw")
    assert read_before(before) is before


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize(
    "mode", ["default", "epsilon(absolute=1e-6)", "contrastive", "lrp(0)", "gradient"]
)
def test_a_picture_of_bytes_is_explained_as_the_floats_it_stands_for(
    engine: Literal["numba", "onnxruntime"], mode: str
) -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((4, 2)).astype(np.float32)
    behind = [
        node("DequantizeLinear", ["v", "s", "z"], ["f"], "read"),
        node("MatMul", ["f", "w"], ["y"], "mix"),
    ]
    pool, _, _, flat = CHOSEN
    flat = node("Flatten", ["p"], ["v"], "flat")
    proto = model(
        [pool, flat, *behind],
        {"x": (onnx.TensorProto.UINT8, ["N", 1, 4, 4])},
        {"y": (FLOAT, ["N", 2])},
        {**WEIGHTS, "w": w},
    )
    real = (X.astype(np.float32) - 7) * np.float32(0.1)
    floats = [
        node("MaxPool", ["x"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        flat,
        node("MatMul", ["v", "w"], ["y"], "mix"),
    ]
    plain = model(floats, {"x": (FLOAT, ["N", 1, 4, 4])}, {"y": (FLOAT, ["N", 2])}, {"w": w})
    found = Explainer(proto, engine=engine).explain(X, mode=mode, target=1)
    expected = Explainer(plain, engine=engine).explain(real, mode=mode, target=1)
    np.testing.assert_allclose(found.relevance["x"], expected.relevance["x"], rtol=1e-4, atol=1e-6)
    assert found.ledger.total().relative_residual < 1e-5


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["lrp", "gradient_x_input", "attnlrp"])
def test_slopes_at_bytes_that_are_cast_are_worth_their_value(
    engine: Literal["numba", "onnxruntime"], mode: str
) -> None:
    w = np.random.default_rng(1).standard_normal((16, 2)).astype(np.float32)
    behind = [node("Flatten", ["f"], ["v"], "flat"), node("MatMul", ["v", "w"], ["y"], "mix")]
    cast = node("Cast", ["x"], ["f"], "cast", to=FLOAT)
    given = {"x": (onnx.TensorProto.UINT8, ["N", 1, 4, 4])}
    proto = model([cast, *behind], given, {"y": (FLOAT, ["N", 2])}, {"w": w})
    plain = model(behind, {"f": (FLOAT, ["N", 1, 4, 4])}, {"y": (FLOAT, ["N", 2])}, {"w": w})
    found = Explainer(proto, engine=engine).explain(X, mode=mode)
    expected = Explainer(plain, engine=engine).explain(X.astype(np.float32), mode=mode)
    np.testing.assert_allclose(found.relevance["x"], expected.relevance["f"], rtol=1e-5)
