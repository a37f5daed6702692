"""Explanations of the same model with random weights, books, and tasks that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, RequestError, evaluate, metrics
from tests.detectors import PICTURES, detector
from tests.graphs import FLOAT, mlp, model, node, normal

X = normal(6, 4, seed=6)
MODES = ("gradient_x_input", "lrp", "random")


def run(here: Path, proto: onnx.ModelProto, x: Any = X, **options: Any) -> Any:
    onnx.save(proto, here / "m.onnx")
    np.save(here / "x.npy", x)
    given: Any = {"modes": MODES, "metrics": ("randomisation", "conservation"), "seed": 3}
    return evaluate(here / "m.onnx", here / "x.npy", **(given | options))


def test_numbers_are_those_of_the_metrics(tmp_path: Path) -> None:
    made = run(tmp_path, mlp())
    own = Explainer(mlp()).explain(X, mode="lrp")
    drawn = Explainer(metrics.randomised_model(mlp(), seed=3))
    other = drawn.explain(X, mode="lrp", target=own.target).relevance["x"]
    alike = np.abs(metrics.similarity(own.relevance["x"], other))
    found = made["lrp"].estimates
    assert found["randomisation"].count == 6
    assert found["randomisation"].mean == pytest.approx(alike.mean(), abs=1e-9)
    kept = metrics.conservation(own.relevance["x"], own.ledger.total().start[0])
    assert found["conservation"].mean == pytest.approx(np.abs(1 - kept).mean(), rel=1e-4, abs=1e-6)
    assert made["random"].estimates == {"randomisation": None, "conservation": None}
    assert not made["random"].errors


def test_an_explanation_that_forgets_the_weights_is_ranked_last(tmp_path: Path) -> None:
    # An average of x and a fixed weight of each entry: gradients follow the weights, and
    # gradient_x_input of inputs that outweigh them is ranked as the inputs are.
    proto = model(
        [node("Mul", ["x", "one"], ["h"]), node("MatMul", ["h", "w"], ["y"], "fc")],
        {"x": (FLOAT, ["N", 40])},
        {"y": (FLOAT, ["N", 1])},
        {"one": np.float32([1]), "w": np.abs(normal(40, 1, seed=1)) * 0.01 + np.float32(1)},
    )
    x = np.exp(3 * normal(20, 40, seed=2))
    made = run(tmp_path, proto, x, modes=("gradient_x_input", "gradient"), task="regression")
    places = {mode: made[mode].ranks["randomisation"].place for mode in made_modes(made)}
    assert places == {"gradient": 1, "gradient_x_input": 2}


def made_modes(made: Any) -> list[str]:
    return [mode.mode for mode in made.modes]


def test_models_that_have_nothing_to_draw(tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
    made = run(tmp_path, proto)
    ((text, count),) = made["lrp"].errors["randomisation"].items()
    assert count == 6 and "no node of it has weights to draw anew" in text
    assert made["lrp"].estimates["conservation"].mean == pytest.approx(0)


def test_detections_are_refused_and_one_entry_of_them_is_not(tmp_path: Path) -> None:
    proto = detector("rows")
    with pytest.raises(RequestError, match=r"task is detection; .*--task regression --target N"):
        run(tmp_path, proto, PICTURES, task="detection", modes=("lrp",))
    made = run(tmp_path, proto, PICTURES, task="regression", target=5, modes=("lrp",))
    assert made["lrp"].estimates["conservation"].count == 2


def test_a_random_model_that_marks_nothing_has_no_number(tmp_path: Path) -> None:
    # Of 400 entries: a row that is a column of the weights is 400 there, 0 +- 20 of random ones.
    w = normal(400, 3, seed=1)
    proto = model(
        [node("MatMul", ["x", "w"], ["y"], "fc")],
        {"x": (FLOAT, ["N", 400])},
        {"y": (FLOAT, ["N", 3])},
        {"w": w},
    )
    made = run(tmp_path, proto, w.T.copy(), task="segmentation", threshold=200.0, modes=("lrp",))
    ((text, count),) = made["lrp"].errors["randomisation"].items()
    assert count == 3 and "model of random weights has no relevance to compare with" in text
