"""What a model computes and does not choose may be NaN: no relevance reaches it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import backtrace_onnx as bt
from tests.graphs import FLOAT, model, node, normal

MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
ENGINES = ("numba", "onnxruntime")
X = np.array([[0.5, 2, 0.3, 1.5], [-0.5, -2, 1, -1]], np.float32)  # roots of the second are NaN
WEIGHTS: dict[str, Any] = {
    "w": normal(4, 3, seed=1),
    "v": normal(4, 3, seed=2),
    "b": normal(3, seed=3),
    "zero": np.zeros(1, np.float32),
    "one": np.array([1]),
}
ROOTS = [
    node("Sqrt", ["x"], ["root"]),
    node("MatMul", ["root", "w"], ["product"]),
    node("Add", ["product", "b"], ["of_roots"]),
]
PLAIN = [node("MatMul", ["x", "v"], ["plain"])]


def _made(nodes: list[onnx.NodeProto], output: str, width: int = 3) -> onnx.ModelProto:
    used = {name for n in nodes for name in n.input}
    weights = {name: w for name, w in WEIGHTS.items() if name in used}
    types: dict[str, Any] = {"x": (FLOAT, ["N", 4])}, {output: (FLOAT, ["N", width])}
    return model(nodes, *types, weights)


def _explained(proto: onnx.ModelProto, x: Any, mode: str, engine: Any = "numba") -> Any:
    return bt.explain(proto, x, mode=mode, engine=engine, task="regression")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_rows_are_explained_by_the_branch_that_they_take(mode: str, engine: str) -> None:
    least = node("ReduceMin", ["x", "one"], ["least"], keepdims=1)
    chosen = node("Where", ["asked", "of_roots", "plain"], ["y"])
    asked = node("Greater", ["least", "zero"], ["asked"])
    made = _explained(_made([*ROOTS, *PLAIN, least, asked, chosen], "y"), X, mode, engine)
    first = _explained(_made(ROOTS, "of_roots"), X[:1], mode).relevance["x"]
    second = _explained(_made(PLAIN, "plain"), X[1:], mode).relevance["x"]
    want = np.concatenate([first, second])
    np.testing.assert_allclose(made.relevance["x"], want, rtol=1e-4, atol=1e-6)
    assert made.ledger.total().relative_residual < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_sums_of_infinities_that_are_not_chosen(mode: str, engine: str) -> None:
    x = np.array([[0.5, 0, 3, 0], [-1, 2, 0, 1]], np.float32)
    summed = [node("Log", ["x"], ["log"]), node("Add", ["log", "x"], ["sum"])]
    tail = [
        node("Greater", ["x", "zero"], ["asked"]),
        node("Where", ["asked", "sum", "x"], ["y"]),
    ]
    made = _explained(_made([*summed, *tail], "y", 4), x, mode, engine).relevance["x"]
    sums = _explained(_made(summed, "sum", 4), np.where(x > 0, x, 1), mode).relevance["x"]
    itself = x if mode != "default" else np.abs(x)
    np.testing.assert_allclose(made, np.where(x > 0, sums, itself), rtol=1e-4, atol=1e-6)
