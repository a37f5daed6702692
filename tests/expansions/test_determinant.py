"""Determinants, written out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, UnsupportedError
from tests.graphs import FLOAT, model, node, normal


def determinant(size: int | str) -> onnx.ModelProto:
    return model(
        [node("Det", ["x"], ["y"], "det")],
        {"x": (FLOAT, ["N", size, size])},
        {"y": (FLOAT, ["N"])},
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_row_gets_a_share_of_its_own(size: int) -> None:
    x = normal(3, size, size, seed=size)
    explanation = Explainer(determinant(size)).explain(x, task="regression")
    np.testing.assert_allclose(explanation.outputs["y"], np.linalg.det(x), rtol=1e-4, atol=1e-5)
    assert np.abs(explanation.ledger.total().residual).max() < 1e-5
    size_of = np.abs(np.linalg.det(x))  # a mode without signs starts with the size
    np.testing.assert_allclose(explanation.relevance["x"].sum((1, 2)), size_of, rtol=1e-4)


def test_large_ones_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="5"):
        Explainer(determinant(5))
    with pytest.raises(UnsupportedError, match="size is K"):
        Explainer(determinant("K"))
