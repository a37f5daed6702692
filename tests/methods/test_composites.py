"""Rules of single nodes against the formulas they are published as, on dense matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, model, node, normal

Array = npt.NDArray[Any]
Back = Callable[[Array, Array, Array, Array], Array]

W1, B1 = normal(6, 5, seed=1), normal(6, seed=2)
W2, B2 = normal(3, 6, seed=3), normal(3, seed=4)


def _net() -> Any:
    nodes = [
        node("Gemm", ["x", "W1", "B1"], ["h"], transB=1),
        node("Relu", ["h"], ["a"]),
        node("Gemm", ["a", "W2", "B2"], ["y"], transB=1),
    ]
    weights = {"W1": W1, "B1": B1, "W2": W2, "B2": B2}
    return model(nodes, {"x": (FLOAT, ["n", 5])}, {"y": (FLOAT, ["n", 3])}, weights)


def _shared(contributions: Array, total: Array, r: Array) -> Array:
    """Contributions [out, in] as parts of the total [out], times relevance [out]."""
    share = np.divide(r, total, out=np.zeros_like(r), where=total != 0)
    return np.asarray((contributions * share[:, None]).sum(0))


def _gamma(w: Array, b: Array, x: Array, r: Array, gamma: float = 0.25) -> Array:
    c, t = w * x, w @ x + b
    favoured = np.where(t[:, None] >= 0, np.maximum(c, 0), np.minimum(c, 0))
    bias = np.where(t >= 0, np.maximum(b, 0), np.minimum(b, 0))
    made = c + gamma * favoured
    return _shared(made, made.sum(1) + b + gamma * bias, r)


def _zplus(w: Array, b: Array, x: Array, r: Array) -> Array:
    positive = np.maximum(w * x, 0)
    return _shared(positive, positive.sum(1) + np.maximum(b, 0), r)


def _alphabeta(w: Array, b: Array, x: Array, r: Array) -> Array:
    c = w * x
    up, down = np.maximum(c, 0), np.minimum(c, 0)
    above, below = up.sum(1) + np.maximum(b, 0), down.sum(1) + np.minimum(b, 0)
    return 2 * _shared(up, above, r) - _shared(down, below, r)


def _flat(w: Array, b: Array, x: Array, r: Array) -> Array:
    ones = np.ones_like(w)
    return _shared(ones, ones.sum(1), r)


def _wsquare(w: Array, b: Array, x: Array, r: Array) -> Array:
    return _shared(w**2, (w**2).sum(1), r)


def _box(w: Array, b: Array, x: Array, r: Array) -> Array:
    made = w * x + 4 * np.maximum(w, 0) - 4 * np.minimum(w, 0)
    return _shared(made, made.sum(1), r)


def _plain(w: Array, b: Array, x: Array, r: Array) -> Array:
    return _shared(w * x, w @ x + b, r)


CASES: list[tuple[Any, Back, Back]] = [
    ("gamma(0.25)", _gamma, _gamma),
    ("zplus", _zplus, _zplus),
    ("alphabeta(2, 1)", _alphabeta, _alphabeta),
    ("first: flat", _flat, _plain),
    ("first: wsquare, last: zplus", _wsquare, _zplus),
    ("first: box(-4, 4), dense: gamma(0.25)", _box, _gamma),
    ([("h", "zplus"), ("Gemm", "gamma(0.25)")], _zplus, _gamma),
]


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize(("mode", "first", "last"), CASES, ids=[str(case[0]) for case in CASES])
def test_a_rule_is_what_was_published(mode: Any, first: Back, last: Back, engine: Any) -> None:
    x = normal(4, 5, seed=5)
    made = Explainer(_net(), engine=engine).explain(x, mode=mode, target=1)
    for row, got in zip(x, made.relevance["x"], strict=True):
        a = np.maximum(W1 @ row + B1, 0)
        start = np.zeros(3, np.float32)
        start[1] = (W2 @ a + B2)[1]
        wanted = first(W1, B1, row, last(W2, B2, a, start))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    total = made.ledger.total()
    np.testing.assert_allclose(
        total.start, total.inputs + total.constants + total.unassigned, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("gamma(-1)", "from 0 on"),
        ("gamma(1, 2)", "gamma takes (gamma)"),
        ("alphabeta(3, 1)", "alpha - beta is 1"),
        ("box(1, 0)", "lower bound comes first"),
        ("lrp(x)", "stabiliser is one number"),
        ("lrp(inf)", "stabiliser is one number"),
        ("gradient(2)", "takes no parameter"),
        ("dense: nothing", "unknown rule 'nothing'"),
        ([("dense",)], "pairs (what, rule)"),
        ("foo(2)", "there are: alphabeta"),
    ],
)
def test_what_is_no_mode_is_said(mode: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        Explainer(_net()).explain(normal(1, 5, seed=5), mode=mode)
    assert said in str(caught.value)
