"""The start of every task, as the method's table has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, normal, unary

VECTOR = unary("Identity", (FLOAT, ["N", 3]), (FLOAT, ["N", 3]))
SINGLE = unary("Identity", (FLOAT, ["N", 1]), (FLOAT, ["N", 1]))
IMAGE = unary("Identity", (FLOAT, ["N", 1, 2, 2]), (FLOAT, ["N", 1, 2, 2]))
TOKENS = unary("Identity", (FLOAT, ["N", 2, 3]), (FLOAT, ["N", 2, 3]))
Y = np.array([[2, -1, 0.5], [0.25, 3, -2]], np.float32)
ONE = np.array([[0.25], [2], [-1]], np.float32)
MASK = np.array([[[[0.9, 0.2], [0.6, 0.4]]]], np.float32)


def _start(proto: Any, x: Any, mode: str, **options: Any) -> list[Any]:
    """Relevance at the output of an identity, a list per channel."""
    found = Explainer(proto).explain(np.asarray(x), mode=mode, **options)
    made = [found.positive["x"]]
    return [a.tolist() for a in ([*made, found.negative["x"]] if found.negative else made)]


def _list(values: Any) -> Any:
    return np.asarray(values, np.float32).tolist()


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_classification(engine: Any) -> None:
    found = Explainer(VECTOR, engine=engine).explain(Y, mode="contrastive")
    assert found.positive["x"].tolist() == [[2, 1, 0], [0, 3, 2]]
    assert found.negative["x"].tolist() == [[0, 0, 0.5], [0.25, 0, 0]]
    assert np.array_equal(found.relevance["x"], found.positive["x"] - found.negative["x"])
    assert _start(VECTOR, Y, "default") == [[[2, 0, 0], [0, 3, 0]]]


def test_classification_by_one_number() -> None:
    assert _start(SINGLE, ONE, "default") == [np.abs(ONE).tolist()]
    assert _start(SINGLE, ONE, "epsilon(absolute=1e-6)") == [ONE.tolist()]
    assert _start(SINGLE, ONE, "contrastive") == [[[0.25], [2], [0]], [[0.75], [0], [3]]]


def test_regression() -> None:
    assert _start(VECTOR, Y, "default", task="regression") == [np.abs(Y).tolist()]
    assert _start(VECTOR, Y, "epsilon(absolute=1e-6)", task="regression") == [Y.tolist()]
    assert _start(VECTOR, Y, "default", task="regression", target=[1, 2]) == [
        [[0, 1, 0], [0, 0, 2]]
    ]
    assert _start(VECTOR, Y, "contrastive", task="regression") == [
        [[2, 0, 0.5], [0.25, 3, 0]],
        [[0, 1, 0], [0, 0, 2]],
    ]


def test_boxes() -> None:
    assert _start(VECTOR, Y, "default", task="bbox") == [[[2, 0, 0], [0, 3, 0]]]
    assert _start(VECTOR, Y, "default", task="bbox", scaler=6) == [[[2, 2, 2], [2, 2, 2]]]
    assert _start(VECTOR, Y, "contrastive", task="bbox") == [
        [[2, 3, 2], [3, 3, 5]],
        [[0, 0, 0.5], [0.25, 0, 0]],
    ]


def test_segmentation() -> None:
    assert _start(IMAGE, MASK, "default", task="segmentation") == [_list([[[[0.9, 0], [0.6, 0]]]])]
    assert _start(IMAGE, MASK, "contrastive", task="segmentation") == [
        _list([[[[0.9, 0], [0.6, 0]]]]),
        _list(np.where(MASK > 0.5, 1 - MASK, MASK)),
    ]
    assert _start(IMAGE, 2 * MASK, "contrastive", task="segmentation")[1] == _list(
        np.where(2 * MASK > 0.5, 0, 2 * MASK)
    )
    assert _start(IMAGE, MASK, "default", task="segmentation", threshold=0.7) == [
        _list([[[[0.9, 0], [0, 0]]]])
    ]


def test_generation() -> None:
    y = normal(1, 2, 3, seed=3) + 1
    best = int(y[0, 1].argmax())
    hit = np.zeros_like(y)
    hit[0, 1, best] = 1
    rest = np.zeros_like(y)
    rest[0, 1] = np.maximum(y[0, 1], 0) * (hit[0, 1] == 0)
    assert y[0, 1, best] > 0
    assert _start(TOKENS, y, "contrastive", task="generation") == [hit.tolist(), rest.tolist()]


def test_a_scaler_is_the_total_of_every_channel_with_a_positive_sum() -> None:
    parts = _start(VECTOR, Y, "contrastive", task="regression", scaler=10)
    for part in parts:
        assert np.allclose(np.sum(part, 1), 10, atol=1e-5)
    (signed,) = _start(VECTOR, -np.abs(Y), "epsilon(absolute=1e-6)", task="regression", scaler=10)
    assert np.allclose(np.sum(signed, 1), -10, atol=1e-5)
    assert _start(VECTOR, 0 * Y, "default", task="regression", scaler=10) == [(0 * Y).tolist()]


def test_an_unknown_task_lists_those_there_are() -> None:
    with pytest.raises(RequestError, match="unknown task 'guess'; there are: classification, reg"):
        Explainer(VECTOR).explain(Y, task="guess")


def test_an_unknown_mode_lists_those_there_are() -> None:
    for mode in ("guess", None):
        with pytest.raises(RequestError, match=r"there are: .*contrastive, .*default, .*epsilon"):
            Explainer(VECTOR).explain(Y, mode=mode)  # type: ignore[arg-type]
