"""Tensors inside a model under means along lines: conductance by definition, and its books."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, mlp, model, node, normal

Array = npt.NDArray[Any]
ENGINES = ["numba", "onnxruntime"]
W, V = normal(4, 5, seed=1), normal(5, 3, seed=2)
X, X0, ROWS = normal(3, 4, seed=3), normal(3, 4, seed=4), normal(6, 4, seed=5)


def _network(batch: Any = "n") -> Any:
    """y = tanh(x W)^2 V, with the input once more beside it."""
    nodes = [
        node("MatMul", ["x", "W"], ["a"], "first"),
        node("Tanh", ["a"], ["h"], "tanh"),
        node("Mul", ["h", "h"], ["q"], "square"),
        node("MatMul", ["q", "V"], ["o"], "second"),
        node("MatMul", ["x", "U"], ["u"], "beside"),
        node("Add", ["o", "u"], ["y"], "sum"),
    ]
    weights = {"W": W, "V": V, "U": normal(4, 3, seed=6)}
    return model(nodes, {"x": (FLOAT, [batch, 4])}, {"y": (FLOAT, [batch, 3])}, weights)


def _by_definition(x: Array, x0: Array, target: int, points: int = 4000) -> dict[str, Array]:
    """Midpoints of many parts of the line, in doubles."""
    u = (np.arange(points) + 0.5)[:, None, None] / points
    line = x0 + u * (x - x0).astype(np.float64)
    a = line @ W.astype(np.float64)
    h, v = np.tanh(a), V[:, target].astype(np.float64)
    slope_h = 2 * h * v
    moved_a = np.broadcast_to((x - x0).astype(np.float64) @ W, a.shape)
    moved_h = (1 - h**2) * moved_a
    return {
        "a": (slope_h * (1 - h**2) * moved_a).mean(0),
        "h": (slope_h * moved_h).mean(0),
        "q": (v * 2 * h * moved_h).mean(0),
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch", ["n", 3])
def test_conductance_is_what_it_is_by_definition(engine: Any, batch: Any) -> None:
    explainer = Explainer(_network(batch), engine=engine)
    asked: dict[str, Any] = {"mode": "integrated_gradients(steps=64)", "baseline": X0, "target": 1}
    made = explainer.explain(X, keep=["a", "h", "q"], **asked)
    for name, wanted in _by_definition(X, X0, 1).items():
        np.testing.assert_allclose(made.relevance[name], wanted, rtol=5e-3, atol=2e-3)
    plain = explainer.explain(X, **asked)
    assert np.array_equal(made.relevance["x"], plain.relevance["x"])
    assert np.array_equal(made.ledger.total().start, plain.ledger.total().start)
    u = (np.polynomial.legendre.leggauss(64)[0] + 1) / 2
    places = X0 + u[:, None, None] * (X - X0)
    weights = np.polynomial.legendre.leggauss(64)[1] / 2
    slopes = 2 * np.tanh(places @ W) * V[:, 1]
    mean = (weights[:, None, None] * slopes).sum(0)
    np.testing.assert_allclose(made.slopes["h"], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["integrated_gradients(steps=64)", "expected_gradients"])
def test_books_of_every_node_close_and_tell_where_the_difference_went(mode: str) -> None:
    how: dict[str, Any] = {"background": ROWS} if mode.startswith("expected") else {"baseline": X0}
    made = Explainer(_network()).explain(X, mode=mode, target=0, keep="all", **how)
    assert set(made.ledger) == {"first", "tanh", "square", "second", "beside", "sum"}
    for entry in made.ledger.values():
        assert np.abs(entry.residual).max() < 1e-5 and not entry.constants.any()
    sent = made.ledger["sum"].sent
    np.testing.assert_allclose(sent["o"][0], made.relevance["o"].sum(1), rtol=1e-5)
    np.testing.assert_allclose(sent["u"][0], made.relevance["u"].sum(1), rtol=1e-5)
    start = made.ledger.total().start[0]
    if mode.startswith("integrated"):  # every layer has the whole; draws are as good as they are
        np.testing.assert_allclose(made.ledger["sum"].incoming[0], start, rtol=1e-5)
        for layer in ("o", "q", "h", "a"):
            whole = (made.relevance[layer] if layer != "o" else made.relevance["o"]).sum(1)
            np.testing.assert_allclose(whole, made.relevance["o"].sum(1), rtol=1e-3, atol=2e-3)
    alone = [
        Explainer(_network()).explain(x[None], mode=mode, target=0, keep=["h"], **_own(how, i))
        for i, x in enumerate(X)
    ]
    rows = np.concatenate([one.relevance["h"] for one in alone])
    np.testing.assert_allclose(rows, made.relevance["h"], rtol=1e-4, atol=1e-6)


def _own(how: dict[str, Any], row: int) -> dict[str, Any]:
    return {"baseline": how["baseline"][row : row + 1]} if "baseline" in how else how


def test_expected_gradients_of_tensors_inside_are_means_over_the_background() -> None:
    made = Explainer(_network()).explain(
        X, mode="expected_gradients(samples=3000)", background=ROWS, target=1, keep=["h"]
    )
    wanted = np.mean([_by_definition(X, row[None], 1, 400)["h"] for row in ROWS], 0)
    np.testing.assert_allclose(made.relevance["h"], wanted, atol=0.06 * np.abs(wanted).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_smoothgrad_tells_mean_slopes_of_tensors_inside(engine: Any) -> None:
    explainer = Explainer(_network(), engine=engine)
    made = explainer.explain(X, mode="smoothgrad(samples=4)", target=1, keep=["h", "o"])
    rng, ranges = np.random.default_rng(0), np.ptp(X, axis=1, keepdims=True).astype(np.float64)
    noisy = [X + 0.1 * ranges * rng.standard_normal((1, 4)) for _ in range(4)]
    wanted = np.mean([2 * np.tanh(x @ W) * V[:, 1] for x in noisy], 0)
    np.testing.assert_allclose(made.relevance["h"], wanted, rtol=1e-4, atol=1e-5)
    assert np.array_equal(made.slopes["h"], made.relevance["h"])
    np.testing.assert_array_equal(made.relevance["o"], np.tile(np.eye(3)[1], (3, 1)))


def test_tensors_that_mix_the_samples_are_told_of_for_the_whole_batch() -> None:
    nodes = [
        node("Tanh", ["x"], ["h"], "tanh"),
        node("Transpose", ["h"], ["t"], "turn", perm=[1, 0]),
        node("MatMul", ["w", "t"], ["z"], "product"),
        node("Transpose", ["z"], ["y"], "back", perm=[1, 0]),
    ]
    weights = {"w": normal(2, 4)}
    net = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 2])}, weights)
    made = Explainer(net).explain(
        X, mode="integrated_gradients(steps=32)", target=0, keep=["h", "t", "z"]
    )
    np.testing.assert_allclose(made.relevance["t"], made.relevance["h"].T, rtol=1e-5)
    np.testing.assert_allclose(made.relevance["h"], np.tanh(X) * normal(2, 4)[0], rtol=1e-4)


def test_masked_entries_have_nothing() -> None:
    """An infinite mask is added on the way: what it covers is 0, and no NaN."""
    nodes = [
        node("Add", ["x", "mask"], ["s"], "masked"),
        node("Softmax", ["s"], ["p"], "soft", axis=1),
        node("MatMul", ["p", "V"], ["y"], "fc"),
    ]
    weights = {"mask": np.float32([0, -np.inf, 0, 0]), "V": normal(4, 3)}
    net = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)
    made = Explainer(net).explain(
        X, mode="integrated_gradients(steps=32)", keep="all", baseline=X0, target=1
    )
    for name in ("s", "x"):
        assert not made.relevance[name][:, 1].any()
    np.testing.assert_allclose(
        made.relevance["s"].sum(1), made.ledger.total().start[0], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("keep", [["h"], "all"])
def test_keeping_changes_nothing_else(keep: Any) -> None:
    asked: dict[str, Any] = {"mode": "integrated_gradients", "baseline": "zeros"}
    made, plain = (Explainer(mlp()).explain(X, **asked, **own) for own in ({"keep": keep}, {}))
    assert np.array_equal(made.relevance["x"], plain.relevance["x"])
    assert [note.text for note in made.notes] == [note.text for note in plain.notes]
    assert len(made.ledger) and not len(plain.ledger)


def test_maps_tell_of_no_tensors_inside() -> None:
    net = model(
        [
            node("Conv", ["x", "C"], ["c"], "conv"),
            node("Relu", ["c"], ["r"], "relu"),
            node("GlobalAveragePool", ["r"], ["g"], "pool"),
            node("Flatten", ["g"], ["y"], "flat"),
        ],
        {"x": (FLOAT, ["n", 1, 8, 8])},
        {"y": (FLOAT, ["n", 2])},
        {"C": normal(2, 1, 3, 3)},
    )
    with pytest.raises(RequestError, match="inputs only, not of c"):
        Explainer(net).explain(normal(1, 1, 8, 8), mode="gradcam", keep=["c"])
