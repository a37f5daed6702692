"""What is doubtful of an explanation, on models where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, check_explanation
from tests.graphs import FLOAT, model, node, normal


def linear(w: Any) -> onnx.ModelProto:
    w = np.asarray(w, np.float32)
    return model(
        [node("MatMul", ["x", "w"], ["y"], "m")],
        {"x": (FLOAT, ["N", len(w)])},
        {"y": (FLOAT, ["N", w.shape[1]])},
        {"w": w},
    )


def notes(proto: onnx.ModelProto, x: Any, mode: str = "lrp", **options: Any) -> list[str]:
    explainer = Explainer(proto)
    made = explainer.explain(np.asarray(x, np.float32), mode=mode, **options)
    checked = check_explanation(explainer, made)
    assert checked.notes[: len(made.notes)] == made.notes
    np.testing.assert_array_equal(checked.relevance["x"], made.relevance["x"])
    return [str(note) for note in checked.notes[len(made.notes) :]]


def test_a_runner_up_with_the_same_map_is_told() -> None:
    row = normal(6, seed=1)
    same = np.stack([row, 0.9 * row + 0.01 * normal(6, seed=2), -row], 1)
    x = np.abs(normal(2, 6, seed=3)) * np.sign(row)
    found = notes(linear(same), x)
    assert len(found) == 2 and found[0].startswith("sample 0: class 1, the runner-up, has nearly")
    other = np.stack([row, -row, normal(6, seed=5)], 1)
    assert not notes(linear(other), x)


def test_one_entry_makes_no_map_to_compare() -> None:
    w = np.array([[1.0, 0.9, -1]])
    assert not notes(linear(w), [[2.0], [-1.0]])
    assert len(notes(linear(np.concatenate([w, w / 2])), [[2.0, 1.5]])) == 1


def test_ties_among_the_first_are_told_and_only_there() -> None:
    w = np.array([[1.0, -1], [1, 2], [0.5, 1], [0.2, -3]])
    (found,) = notes(linear(w), [[1, 1, 1, 1], [1, 2, 1, 1]], target=0)
    assert found == "sample 0: ranks 1 to 2 are ties: which of them is first says nothing"
    (found,) = notes(linear(np.eye(6)[:, :2] * 0 + [1, -1]), np.ones((1, 6)), target=0)[:1]
    assert "ranks 1 to 3, and 3 more are ties" in found


def test_another_method_that_ranks_otherwise_is_told() -> None:
    """A saturated input: its gradient is nothing, what it gave is most."""
    bend = model(
        [node("Tanh", ["x"], ["t"], "tanh"), node("MatMul", ["t", "w"], ["y"], "m")],
        {"x": (FLOAT, ["N", 6])},
        {"y": (FLOAT, ["N", 1])},
        {"w": np.array([[6.0], [5], [4], [3], [2], [1]], np.float32)},
    )
    x = np.array([[9.0, 8, 7, 0.5, 0.4, 0.3], [0.3, 0.2, 0.25, 0.2, 0.1, 0.1]])
    found = notes(bend, x, task="regression")
    assert len(found) == 1 and found[0].startswith("sample 0: mode gradient_x_input ranks the")


@pytest.mark.parametrize("mode", ["default", "contrastive", "gradient_x_input"])
def test_every_mode_is_checked(mode: str) -> None:
    w = normal(6, 3, seed=8)
    for text in notes(linear(w), normal(4, 6, seed=9), mode):
        assert text.startswith("sample ")
