"""Joins of one tensor are that tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal


def _net(*joins: str) -> Any:
    nodes = [node("MatMul", ["x", "w"], ["h"])]
    for i, op_type in enumerate(joins):
        options = {"axis": 1} if op_type == "Concat" else {}
        nodes.append(node(op_type, [nodes[-1].output[0]], [f"t{i}"], op_type, **options))
    nodes += [node("Sigmoid", [nodes[-1].output[0]], ["a"]), node("MatMul", ["a", "v"], ["y"])]
    weights = {"w": normal(4, 5), "v": normal(5, 3, seed=2)}
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["default", "contrastive", "lrp(0.3)", "gradient"])
def test_they_change_no_explanation(mode: str, engine: Any) -> None:
    x = normal(3, 4, seed=5)
    joined = Explainer(_net("Concat", "Sum", "Mean", "Max", "Min"), engine=engine)
    read = {node.op_type for node in joined.graph.nodes}
    assert read.isdisjoint({"Concat", "Sum", "Mean", "Max", "Min"})
    found = joined.explain(x, mode=mode, target=1)
    want = Explainer(_net(), engine=engine).explain(x, mode=mode, target=1)
    np.testing.assert_array_equal(found.relevance["x"], want.relevance["x"])
