"""Values that are infinite: what a mask covers has exactly 0 in every mode that carries slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal

X, X0, V = normal(3, 4, seed=3), normal(3, 4, seed=4), normal(4, 3, seed=5)
MODES = ("gradient", "gradient_x_input", "lrp", "attnlrp", "deeplift", "integrated_gradients")
LEFT = [0, 2, 3]


def _attention(columns: list[int], mask: list[float]) -> Any:
    nodes = [
        node("Add", ["x", "mask"], ["s"], "masked"),
        node("Softmax", ["s"], ["p"], "soft", axis=1),
        node("MatMul", ["p", "V"], ["y"], "fc"),
    ]
    weights = {"mask": np.float32(mask), "V": V[columns]}
    kinds = {"x": (FLOAT, ["n", len(columns)])}, {"y": (FLOAT, ["n", 3])}
    return model(nodes, *kinds, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_masked_is_as_if_it_were_not_there(mode: str, engine: Any) -> None:
    masked = Explainer(_attention([0, 1, 2, 3], [0, -np.inf, 0, 0]), engine=engine)
    without = Explainer(_attention(LEFT, [0, 0, 0]), engine=engine)
    compares = mode in ("deeplift", "integrated_gradients")
    told, fewer = ({"baseline": X0}, {"baseline": X0[:, LEFT]}) if compares else ({}, {})
    made = masked.explain(X, mode=mode, target=1, keep=["s"], **told)
    wanted = without.explain(X[:, LEFT], mode=mode, target=1, **fewer).relevance["x"]
    scale = float(np.abs(wanted).max())
    assert not made.relevance["x"][:, 1].any() and not made.relevance["s"][:, 1].any()
    if mode != "lrp":  # whose stabiliser knows how many units a layer has
        np.testing.assert_allclose(made.relevance["x"][:, LEFT], wanted, atol=1e-5 * scale)
    assert made.ledger.total().relative_residual < 1e-5
