"""Which open axes of inputs are samples, where the output's symbol is lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.graph.sample_symbols import sample_symbols
from tests.graphs import FLOAT, model, node, normal


@pytest.mark.parametrize(
    ("shapes", "output", "found"),
    [
        ([(5, "N", 8)], ("lost", 3), {"N"}),
        ([(5, "s27", 8)], (None, 3), {"s27"}),
        ([(5, "N", 8)], (), {"N"}),
        ([(5, "s27", 8)], (), set()),  # nothing is known of the output
        ([(5, "length", 8)], ("lost", 3), set()),
        ([(5, "s27", 8)], (5, "lost", 3), set()),  # a fixed batch of five, of any length
        ([(5, "N", 8)], (5, "lost", 3), {"N"}),
        ([(5, "N")], ("lost", 3), {"N"}),
        ([(5, "N")], (5, 3), set()),  # five rows
        ([(1, "N", 8)], ("lost", 3), {"N"}),
        ([(1, "s27", 8)], ("lost", 3), set()),  # a length
        ([("B", "N", 8)], ("lost", 3), {"B"}),
        ([(5, "N", 8)], ("N", 3), {"N"}),
    ],
)
def test_symbols(shapes: Any, output: Any, found: set[str]) -> None:
    assert sample_symbols(shapes, output, set(), set()) == found


def _steps_first(symbol: str) -> Any:
    """Heads merged with the samples, as torch's newer exporter writes attention: [5, N, 8]."""
    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("Reshape", ["m", "heads"], ["h"]),  # [5, N * 2, 4]
        node("Transpose", ["h"], ["t"], perm=[1, 0, 2]),
        node("Reshape", ["t", "apart"], ["a"]),  # [N, 2, 5, 4]
        node("Transpose", ["a"], ["k"], perm=[0, 1, 3, 2]),
        node("MatMul", ["a", "k"], ["scores"]),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "a"], ["mixed"]),
        node("Transpose", ["mixed"], ["b"], perm=[2, 0, 1, 3]),
        node("Reshape", ["b", "rows"], ["r"]),  # [5 * N, 8]
        node("Gemm", ["r", "v"], ["g"]),
        node("Reshape", ["g", "back"], ["s"]),  # [5, N, 8]
        node("Add", ["s", "x"], ["sum"]),
        node("ReduceMean", ["sum", "first"], ["mean"], keepdims=0),
        node("MatMul", ["mean", "u"], ["y"]),
    ]
    weights = {
        "heads": np.array([5, -1, 4]),
        "apart": np.array([-1, 2, 5, 4]),
        "rows": np.array([-1, 8]),
        "back": np.array([5, -1, 8]),
        "first": np.array([0]),
        "w": normal(8, 8),
        "v": normal(8, 8, seed=1),
        "u": normal(8, 3, seed=2),
    }
    kinds = {"x": (FLOAT, [5, symbol, 8])}, {"y": (FLOAT, [symbol, 3])}
    return model(nodes, *kinds, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["attnlrp", "lrp(0.5)"])
@pytest.mark.parametrize("symbol", ["N", "s27"])
def test_samples_behind_steps_stay_apart(engine: Any, mode: str, symbol: str) -> None:
    explainer, x = Explainer(_steps_first(symbol), engine=engine), normal(5, 3, 8, seed=3)
    x *= np.float32([1, 3, 0.1])[:, None]
    made = explainer.explain(x, mode=mode, target=1)
    assert len(made.target) == 3 and not made.ledger.mixed and not made.notes
    for i in range(3):
        alone = explainer.explain(x[:, i : i + 1], mode=mode, target=1).relevance["x"]
        np.testing.assert_allclose(
            made.relevance["x"][:, i : i + 1], alone, rtol=1e-4, atol=1e-6 * abs(alone).max()
        )


def test_what_may_be_samples_is_told() -> None:
    explainer, x = Explainer(_steps_first("length")), normal(5, 3, 8, seed=3)
    made = explainer.explain(x, mode="attnlrp", target=1)
    assert len(made.target) == 1
    assert any("sample_axis=0 (--sample-axis 0)" in note.text for note in made.notes)
    told = explainer.explain(x, mode="attnlrp", target=1, sample_axis=0)
    assert len(told.target) == 3 and not any("sample_axis" in note.text for note in told.notes)
