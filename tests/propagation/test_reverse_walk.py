"""The reverse walk."""

from __future__ import annotations

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, INT64, check_closed, mlp, model, node, normal

X = normal(3, 4, seed=5)
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")


@pytest.mark.parametrize("mode", MODES)
def test_uses_of_one_tensor_are_summed(mode: str) -> None:
    proto = model(
        [
            node("Relu", ["x"], ["a"]),
            node("Neg", ["x"], ["b"]),
            node("Concat", ["a", "b", "x"], ["y"], axis=1),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 12])},
    )
    start = np.abs(normal(3, 12, seed=8))
    given = (start, start[::-1].copy()) if mode == "contrastive" else start
    found = Explainer(proto).explain(X, mode=mode, start=given)
    wanted = start[:, :4] + start[:, 4:8] + start[:, 8:]
    assert np.allclose(found.positive["x"], wanted, atol=1e-6)
    check_closed(found)


def test_one_tensor_twice_in_one_node_gets_both_shares() -> None:
    for op_type in ("Add", "Mul"):
        proto = model(
            [node(op_type, ["x", "x"], ["y"])], {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])}
        )
        start = normal(3, 4, seed=8)
        found = Explainer(proto).explain(X, start=start)
        assert np.allclose(found.relevance["x"], start, atol=1e-6)


def test_broadcast_parts_are_summed_back() -> None:
    proto = model(
        [node("Add", ["x", "k"], ["y"])],
        {"x": (FLOAT, ["N", 3, 4]), "k": (FLOAT, ["N", 1, 4])},
        {"y": (FLOAT, ["N", 3, 4])},
    )
    feeds = {"x": normal(2, 3, 4), "k": normal(2, 1, 4, seed=1)}
    start = normal(2, 3, 4, seed=2)
    found = Explainer(proto).explain(feeds, start=start)
    share = np.abs(feeds["k"]) / (np.abs(feeds["k"]) + np.abs(feeds["x"]))
    wanted = (start * share).sum(1, keepdims=True)
    assert np.allclose(found.relevance["k"], wanted, rtol=1e-4, atol=1e-5)
    check_closed(found)


def test_what_carries_nothing_stops_the_walk() -> None:
    proto = model(
        [
            node("Shape", ["x"], ["s"]),
            node("Cast", ["s"], ["f"], to=FLOAT),
            node("ReduceSum", ["f"], ["n"], keepdims=0),
            node("Mul", ["x", "n"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
    )
    found = Explainer(proto).explain(X, task="regression")
    assert list(found.ledger) == ["y"]
    assert np.allclose(found.relevance["x"], np.abs(found.outputs["y"]), atol=1e-5)


def test_an_id_gets_what_its_row_gets() -> None:
    proto = model(
        [node("Gather", ["table", "ids"], ["e"]), node("ReduceSum", ["e", "axes"], ["y"])],
        {"ids": (INT64, ["N", 3])},
        {"y": (FLOAT, ["N", 1, 2])},
        {"table": normal(5, 2), "axes": np.array([1])},
    )
    found = Explainer(proto).explain(np.array([[0, 2, 4]]), task="regression")
    assert found.relevance["ids"].shape == (1, 3)
    check_closed(found)


@pytest.mark.parametrize("mode", MODES)
def test_two_runs_are_equal_to_the_bit(mode: str) -> None:
    first, second = (Explainer(mlp()).explain(X, mode=mode) for _ in range(2))
    again = Explainer(mlp())
    again.explain(2 * X, mode=mode)
    third = again.explain(X, mode=mode)
    for other in (second, third):
        assert np.array_equal(first.relevance["x"], other.relevance["x"])
        for name, entry in first.ledger.items():
            assert np.array_equal(entry.constants, other.ledger[name].constants)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    Explainer(mlp()).explain(X, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
