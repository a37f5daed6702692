"""Targets and starts that a caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, check_closed, mlp, normal, unary

X = normal(3, 4, seed=5)
CUBE = unary("Identity", (FLOAT, ["N", 2, 3]), (FLOAT, ["N", 2, 3]))
Z = normal(3, 2, 3, seed=6)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (1, [1, 1, 1]),
        (-1, [2, 2, 2]),
        ([0, 1, 2], [0, 1, 2]),
        (np.array([0, 1, -3]), [0, 1, 0]),
        (np.int64(2), [2, 2, 2]),
        ((2,), [2, 2, 2]),
        ((-2,), [1, 1, 1]),
    ],
)
def test_class_targets(target: Any, wanted: list[int]) -> None:
    found = Explainer(mlp()).explain(X, target=target)
    assert found.target is not None
    assert found.target.tolist() == wanted
    y = found.outputs["y"][np.arange(3), wanted]
    assert np.allclose(found.ledger.total().start[0], np.abs(y))
    check_closed(found)


def test_the_largest_is_explained_by_default() -> None:
    found = Explainer(mlp()).explain(X)
    assert found.target is not None
    assert found.target.tolist() == found.outputs["y"].argmax(1).tolist()


@pytest.mark.parametrize(
    "target", [3, -4, [0, 1], [0, 1, 9], 1.0, "a", True, (1, 1), (3,), [[0], [1, 2]], (1.5,), []]
)
def test_targets_that_do_not_fit(target: Any) -> None:
    with pytest.raises(RequestError, match="target"):
        Explainer(mlp()).explain(X, target=target)


def test_a_tuple_is_an_index_of_the_outputs_axes() -> None:
    found = Explainer(CUBE).explain(Z, target=(1, -1)).relevance["x"]
    wanted = np.zeros_like(Z)
    wanted[:, 1, 2] = np.abs(Z[:, 1, 2])
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("target", "entries"),
    [
        (None, [(1, None)] * 3),
        (2, [(1, 2)] * 3),
        ((0, 1), [(0, 1)] * 3),
        ((-2, -1), [(0, None)] * 3),
        ([(0, 1), (1, 2), (1, 0)], [(0, 1), (1, 2), (1, 0)]),
    ],
)
def test_generation_starts_at_a_position_and_token(
    target: Any, entries: list[tuple[int, int | None]]
) -> None:
    found = Explainer(CUBE).explain(Z, task="generation", target=target).relevance["x"]
    wanted = np.zeros_like(Z)
    for k, (position, token) in enumerate(entries):
        wanted[k, position, Z[k, position].argmax() if token is None else token] = 1
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("target", [(2, 0), (-3, 0), (0, 3), 3, 1.5, "a", (0, 1, 2), [(0, 1)] * 2])
def test_generation_targets_that_do_not_fit(target: Any) -> None:
    with pytest.raises(RequestError, match="target"):
        Explainer(CUBE).explain(Z, task="generation", target=target)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_several_positions_start_with_equal_parts(engine: Any) -> None:
    target = [[(0, 1), (1, -1)], [(0, 0), (-1, 2)], [(1, 2), (1, 2)]]
    found = Explainer(CUBE, engine=engine).explain(Z, task="generation", target=target)
    wanted = np.zeros_like(Z)
    for k, pairs in enumerate(target):
        for position, token in pairs:
            best = Z[k, position].argmax() if token < 0 else token
            wanted[k, position, best] += 0.5
    assert np.array_equal(found.relevance["x"], wanted)
    assert found.target is not None
    assert found.target.shape == (3, 2, 2)


def test_generation_needs_positions_and_tokens() -> None:
    with pytest.raises(RequestError, match=r"\[batch, position, token\]"):
        Explainer(mlp()).explain(X, task="generation")


def test_a_start_of_ones_own() -> None:
    start = normal(3, 3, seed=9)
    found = Explainer(mlp()).explain(X, start=start)
    assert found.task == "start"
    assert found.target is None
    assert np.allclose(found.ledger.total().start[0], start.sum(1), atol=1e-6)
    check_closed(found)


def test_a_pair_of_starts() -> None:
    pair = np.abs(normal(2, 3, 3, seed=9))
    explainer = Explainer(mlp())
    found = explainer.explain(X, mode="contrastive", start=(pair[0], pair[1]))
    assert np.allclose(found.ledger.total().start, pair.sum(2), atol=1e-6)
    check_closed(found)
    stacked = explainer.explain(X, mode="contrastive", start=pair)
    assert np.array_equal(stacked.relevance["x"], found.relevance["x"])


@pytest.mark.parametrize(
    ("mode", "start", "message"),
    [
        ("default", np.ones((3, 2)), r"shape \(3, 2\), the output \(3, 3\)"),
        ("default", 1.0, r"shape \(\)"),
        ("default", np.full((3, 3), np.nan), r"NaN or Inf, first at \(0, 0\)"),
        ("default", "a", "an array shaped like the output, .* or \"probability\", not 'a'"),
        ("default", [[1], [2, 3]], "start is no array: its lists are not all of one length"),
        ("contrastive", np.ones((3, 3)), "a pair of start arrays"),
        ("contrastive", 5, "a pair of start arrays"),
        ("contrastive", (np.ones((3, 3)), np.ones(3)), r"shape \(3,\)"),
    ],
)
def test_starts_that_do_not_fit(mode: str, start: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Explainer(mlp()).explain(X, mode=mode, start=start)


@pytest.mark.parametrize("more", [{"target": 1}, {"task": "regression"}])
def test_a_start_excludes_target_and_task(more: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="either start, or target and task"):
        Explainer(mlp()).explain(X, start=np.ones((3, 3)), **more)


def test_segmentation_takes_no_target() -> None:
    with pytest.raises(RequestError, match="takes no target"):
        Explainer(mlp()).explain(X, task="segmentation", target=1)
