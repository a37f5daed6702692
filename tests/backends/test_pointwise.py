"""Texts of functions as loops: what onnxruntime makes of the same text."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import backtrace_onnx as bt
from backtrace_onnx.backends import pointwise
from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.pointwise import PointwiseLoops
from backtrace_onnx.backends.texts import Sessions
from tests.graphs import FLOAT, Array, model, node, normal

AS_LOOPS = {
    "Clip": [node("Clip", ["x", "low", "high"], ["y"])],
    "Elu": [node("Elu", ["x"], ["y"], alpha=0.7)],
    "Exp": [node("Exp", ["x"], ["y"])],
    "HardSigmoid": [node("HardSigmoid", ["x"], ["y"], alpha=0.3)],
    "HardSwish": [node("HardSwish", ["x"], ["y"])],
    "LeakyRelu": [node("LeakyRelu", ["x"], ["y"], alpha=0.25)],
    "Selu": [node("Selu", ["x"], ["y"])],
    "Sigmoid": [node("Sigmoid", ["x"], ["y"])],
    "Softsign": [node("Softsign", ["x"], ["y"])],
    "Tanh": [node("Tanh", ["x"], ["y"])],
    "written out": [
        node("Add", ["x", "high"], ["shifted"]),
        node("Clip", ["shifted", "zero", "six"], ["cut"]),
        node("Mul", ["x", "cut"], ["weighed"]),
        node("Div", ["weighed", "six"], ["y"]),
    ],
    "by HardSigmoid": [
        node("HardSigmoid", ["x"], ["gate"], alpha=1 / 6, beta=0.5),
        node("Mul", ["x", "gate"], ["y"]),
    ],
}
IN_STAGES = {"Gelu by tanh": [node("Gelu", ["x"], ["y"], approximate="tanh")]}
AS_SESSIONS = {
    "Gelu": [node("Gelu", ["x"], ["y"])],
    "Mish": [node("Mish", ["x"], ["y"])],
    "Gelu written out": [
        node("Div", ["x", "root"], ["scaled"]),
        node("Erf", ["scaled"], ["part"]),
        node("Add", ["part", "one"], ["more"]),
        node("Mul", ["x", "more"], ["twice"]),
        node("Mul", ["twice", "half"], ["y"]),
    ],
    "Asinh": [node("Asinh", ["x"], ["y"])],
    "Softplus": [node("Softplus", ["x"], ["y"])],
}
ALL = {**AS_LOOPS, **IN_STAGES, **AS_SESSIONS}
NUMBERS = {
    "low": -0.5, "high": 3.0, "zero": 0.0, "six": 6.0, "root": 2**0.5, "one": 1.0, "half": 0.5
}  # fmt: skip
PLACES = np.array([-4, -3, -0.5, -0.0, 0, 0.5, 1, 3, 4], np.float32)


def network(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    constants = {name: np.array(x, np.float32) for name, x in NUMBERS.items()}
    kind = (FLOAT, ["N", 50])
    return model(nodes, {"x": kind}, {"y": kind}, constants, opset=20)


def _eager() -> EagerOps:
    return EagerOps(np.float32, Samples(1), Sessions(), {"": 20})


def explained(nodes: list[onnx.NodeProto], mode: str) -> tuple[Array, Array]:
    """Relevance of a start of numbers, and the node's books."""
    x = normal(3, 50, seed=4) * 3
    x[0, : PLACES.size] = PLACES
    made = bt.Explainer(network(nodes)).explain(x, mode=mode, start=normal(3, 50, seed=5))
    return made.relevance["x"], made.ledger.stacked()


@pytest.mark.parametrize("mode", ["gradient", "lrp"])
@pytest.mark.parametrize("name", ALL)
def test_loops_are_what_sessions_make(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = ALL[name]
    found, books = explained(nodes, mode)
    monkeypatch.setattr(PointwiseLoops, "run", lambda *given: None)
    expected, others = explained(nodes, mode)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(books, others, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_which_texts_have_loops(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of arithmetic and comparisons, and what lies between words of other kinds."""
    made: list[Any] = []
    find = pointwise._sweeps
    monkeypatch.setattr(pointwise, "_sweeps", lambda *given: made.append(find(*given)) or made[-1])
    explained(ALL[name], "gradient")
    (sweeps,) = made
    words = [sweep.word for sweep in sweeps]
    assert bool(words) == (name not in AS_SESSIONS)
    assert (len(words) > 1) == (name in IN_STAGES)


def test_functions_with_other_numbers_are_others() -> None:
    """Machine code is kept by the text that it is of."""
    x = np.full((1, 50), -1, np.float32)
    for alpha in (0.25, 0.5, 0.25):
        proto = network([node("LeakyRelu", ["x"], ["y"], alpha=alpha)])
        found = bt.Explainer(proto).explain(x, mode="gradient", start=np.ones_like(x))
        np.testing.assert_array_equal(found.relevance["x"], np.full_like(x, alpha))


def test_arrays_of_another_shape_are_left_to_a_session() -> None:
    ops, loops, x = _eager(), PointwiseLoops(), np.ones((2, 3), np.float32)

    def text(e: Any, a: Any, b: Any) -> Any:
        return e.Mul(a, b)

    for other in (np.ones((1, 3), np.float32), x.astype(np.float64), 2.0):
        assert loops.run("key", text, [x, other], ops) is None
    found = loops.run("key", text, [x.T, x.T * 2], ops)
    np.testing.assert_array_equal(found, x.T * 2)
