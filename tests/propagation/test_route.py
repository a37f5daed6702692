"""What a walk knows of its nodes beforehand is found by the first walk, for all that follow."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

import backtrace_onnx as bt
from backtrace_onnx.propagation import route

NETWORK = parser.parse_model("""
    <ir_version: 10, opset_import: ["": 18]>
    net (float[batch, 3] x) => (float[batch, 2] y)
        <float[3, 2] w = {1.0, -1.0, 2.0, 0.5, -0.5, 1.0}, float[2] b = {0.5, -1.0}>
    {
        h = MatMul(x, w)
        z = Add(h, b)
        a = Relu(z)
        s = Add(a, z)
        y = Softmax(s)
    }""")
X = np.array([[1.0, -2.0, 0.5], [0.5, 1.0, -1.5]], np.float32)


@pytest.mark.parametrize("mode", ["default", "contrastive", "gradient", "lrp", "deeplift"])
def test_nodes_are_planned_once(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second explanation plans no node, whatever its target is, and is like the first."""
    explainer = bt.Explainer(NETWORK)
    first = explainer.explain(X, mode=mode, target=0)

    def refuse(*given: object) -> None:
        raise AssertionError("a node is planned anew")

    monkeypatch.setattr(route, "PlannedNode", refuse)
    again = explainer.explain(X, mode=mode, target=0)
    explainer.explain(X[:1], mode=mode, target=1)
    np.testing.assert_array_equal(again.relevance["x"], first.relevance["x"])
    for name, entry in first.ledger.items():
        np.testing.assert_array_equal(again.ledger[name].data, entry.data)


def test_modes_have_routes_of_their_own() -> None:
    """Two modes of one explainer do not share what they know of nodes."""
    explainer = bt.Explainer(NETWORK)
    for mode in ("lrp", "gradient", "default", "lrp"):
        alone = bt.Explainer(NETWORK).explain(X, mode=mode, target=0)
        beside = explainer.explain(X, mode=mode, target=0)
        np.testing.assert_array_equal(beside.relevance["x"], alone.relevance["x"])
