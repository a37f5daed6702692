"""8-bit data: read once, and weighed against each other as floats."""

from __future__ import annotations

import numpy as np
import onnx

from backtrace_onnx.model.loading import Model, load
from backtrace_onnx.passes.narrow_integers import read_once, widened
from tests.graphs import FLOAT, model, node

X = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 4)).astype(np.uint8)
WEIGHTS = {"s": np.float32(0.1), "z": np.uint8(7)}
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


def test_bytes_of_a_model_that_is_not_quantised_stay() -> None:
    nodes = [
        node("MaxPool", ["x"], ["p"], "pool", kernel_shape=[2, 2]),
        node("Cast", ["p"], ["y"], "cast", to=FLOAT),
    ]
    before = _loaded(nodes, "y")
    assert widened(before) is before
