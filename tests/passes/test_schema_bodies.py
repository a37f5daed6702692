"""Operators that ONNX defines by others, and that nothing else here explains."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.model.loading import load
from backtrace_onnx.passes.schema_bodies import has_body, is_known, with_bodies
from backtrace_onnx.rules import registry
from tests.graphs import FLOAT, model, node, normal


def test_a_body_stands_where_its_operator_was() -> None:
    nodes = [node("Relu", ["x"], ["h"]), node("CenterCropPad", ["h", "size"], ["y"], axes=[1])]
    before = load(
        model(nodes, {"x": (FLOAT, ["N", 6])}, {"y": (FLOAT, ["N", 4])}, {"size": np.array([4])})
    )
    after = with_bodies(before)
    kinds = {n.op_type for n in after.proto.graph.node}
    assert "CenterCropPad" not in kinds and "Relu" in kinds
    assert all(registry.lookup("", kind, 18) for kind in kinds)
    x = normal(3, 6)
    ran = [made.session().run(None, {"x": x})[0] for made in (before, after)]
    assert np.array_equal(*ran) and np.array_equal(ran[0], np.maximum(x[:, 1:5], 0))
    assert with_bodies(after) is after


def test_what_has_a_rule_keeps_it() -> None:
    made = load(model([node("Softplus", ["x"], ["y"])], {"x": (FLOAT, [4])}, {"y": (FLOAT, [4])}))
    assert has_body("", "Softplus", 18) and with_bodies(made) is made


def test_bodies_are_those_of_standard_domains_and_versions() -> None:
    assert has_body("", "CenterCropPad", 18)
    assert not has_body("", "CenterCropPad", 17)
    assert not has_body("acme", "CenterCropPad", 18)
    assert not has_body("", "Conv", 18)
    known = {name: is_known(node(name, ["x"], ["y"]), {"": 18}) for name in ("Conv", "Unheard")}
    assert known == {"Conv": True, "Unheard": False}
