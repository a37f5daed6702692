"""Tensors inside of loops that tensors outside are called like."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from backtrace_onnx.exporters.body_names import part_names
from tests.graphs import BOOL, FLOAT, INT64, model, node, normal


def _loop() -> onnx.ModelProto:
    """x -> y: tanh(x w) three times over, whose product outside and inside is called `h`."""
    body = helper.make_graph(
        [
            node("MatMul", ["s", "w"], ["h"], "product"),
            node("Tanh", ["h"], ["after"], "tanh"),
            node("Identity", ["go"], ["on"], "condition"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("s", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("after", FLOAT, None),
        ],
    )
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "first"),
        node("Loop", ["count", "", "h"], ["y"], "loop", body=body),
    ]
    weights = {"w": normal(3, 3), "count": np.array(3)}
    return model(nodes, {"x": (FLOAT, ["N", 3])}, {"y": (FLOAT, ["N", 3])}, weights)


def test_a_tensor_inside_gets_a_name_of_its_own() -> None:
    made = _loop()
    part_names(made.graph)
    onnx.checker.check_model(made, full_check=True)
    body = made.graph.node[1].attribute[0].g
    assert [list(each.output) for each in body.node] == [["h@inner"], ["after"], ["on"]]
    assert list(body.node[1].input) == ["h@inner"]
    assert list(made.graph.node[1].input) == ["count", "", "h"]
    x, w = normal(2, 3, seed=1), normal(3, 3)
    want = x @ w
    for _ in range(3):
        want = np.tanh(want @ w)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], want, rtol=1e-5)


def test_what_a_body_reads_from_outside_keeps_its_name() -> None:
    made = _loop()
    body = made.graph.node[1].attribute[0].g
    body.node[0].output[0] = body.node[1].input[0] = "own"
    body.node[0].input[0] = "h"
    before = made.SerializeToString()
    part_names(made.graph)
    assert made.SerializeToString() == before
