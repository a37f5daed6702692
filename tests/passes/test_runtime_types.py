"""Types that only onnxruntime tells."""

from __future__ import annotations

import onnx

from backtrace_onnx.model.loading import Model, load
from backtrace_onnx.passes.runtime_types import stated
from tests.graphs import FLOAT, model, node


def _loaded(op_type: str, domain: str) -> Model:
    nodes = [
        node(op_type, ["x"], ["h"], "own", domain=domain),
        node("Relu", ["h"], ["y"], "relu"),
    ]
    given = {"x": (FLOAT, ["N", 4])}
    return load(model(nodes, given, {"y": (FLOAT, ["N", 4])}, domains={domain: 1}))


def test_what_onnxruntime_infers_is_stated() -> None:
    before = _loaded("Gelu", "com.microsoft")
    after = stated(before)
    (found,) = after.proto.graph.value_info
    assert (found.name, found.type.tensor_type.elem_type) == ("h", FLOAT)
    assert [d.dim_value for d in found.type.tensor_type.shape.dim] == [0, 4]
    assert not before.proto.graph.value_info
    assert stated(after) is after


def test_a_model_that_does_not_load_stays() -> None:
    before = _loaded("Unheard", "acme")
    assert stated(before) is before


def test_a_model_of_standard_operators_stays() -> None:
    before = load(model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [4])}, {"y": (FLOAT, [4])}))
    assert stated(before) is before
    assert onnx.defs.has("Relu")
