"""Patching against running what is left of the model, and its estimates against patching."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, shape_inference, utils

import backtrace_onnx as bt
from backtrace_onnx import Contrast, Explainer, RequestError
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

CLEAN, CORRUPT = normal(2, 4, seed=3), normal(2, 4, seed=4)


def _linear() -> Any:
    """y = (h + h U) w of h = x V: what is estimated to first order is exact."""
    nodes = [
        node("MatMul", ["x", "V"], ["h"], "in"),
        node("MatMul", ["h", "U"], ["b"], "block"),
        node("Add", ["h", "b"], ["s"], "skip"),
        node("MatMul", ["s", "w"], ["y"], "out"),
    ]
    weights = {"V": normal(4, 5), "U": normal(5, 5, seed=1), "w": normal(5, 3, seed=2)}
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)


def test_a_patched_run_is_that_of_the_model_behind_the_tensor() -> None:
    explainer = Explainer(mlp())
    value = normal(2, 5, seed=8)
    behind = utils.Extractor(shape_inference.infer_shapes(mlp())).extract_model(["a"], ["y"])
    session = ort.InferenceSession(behind.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, {"a": value})[0]
    np.testing.assert_allclose(bt.patch(explainer, CLEAN, {"a": value})["y"], want, rtol=1e-6)
    plain = explainer.explain(CLEAN).outputs["y"]
    np.testing.assert_array_equal(bt.patch(explainer, CLEAN, {})["y"], plain)
    own = bt.tensor_values(explainer, CLEAN, ["h", "a", "x", "w"])
    np.testing.assert_allclose(own["a"], np.maximum(own["h"], 0), rtol=1e-6)
    np.testing.assert_array_equal(own["x"], CLEAN)
    np.testing.assert_array_equal(own["w"], normal(4, 5))
    same = bt.patch(explainer, CLEAN, {"a": lambda a: a})["y"]
    np.testing.assert_allclose(same, plain, rtol=1e-6)
    doubled = bt.patch(explainer, CLEAN, {"a": lambda a: 2 * a, "h": value})["y"]
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-5)


def test_a_patched_output_is_what_was_given() -> None:
    y = normal(2, 3, seed=8)
    np.testing.assert_array_equal(bt.patch(Explainer(mlp()), CLEAN, {"y": y})["y"], y)


@pytest.mark.parametrize("at", ["corrupt", "clean"])
@pytest.mark.parametrize("mode", ["gradient", "attnlrp", "lrp(0)"])
@pytest.mark.parametrize("metric", [1, Contrast(1, 0), {1: 1.0, 0: -1.0}])
def test_a_linear_model_is_patched_as_estimated(metric: Any, mode: str, at: Any) -> None:
    explainer = Explainer(_linear())
    made = bt.patching(explainer, CLEAN, CORRUPT, metric, mode=mode, at=at)
    value = (lambda y: y[:, 1]) if metric == 1 else (lambda y: y[:, 1] - y[:, 0])
    runs = {name: explainer.explain(x).outputs["y"] for name, x in _runs().items()}
    np.testing.assert_allclose(made.clean, value(runs["clean"]), rtol=1e-4)
    np.testing.assert_allclose(made.corrupt, value(runs["corrupt"]), rtol=1e-4)
    assert made.scores.keys() >= {"h", "b", "s", "x"}
    other = "clean" if at == "corrupt" else "corrupt"
    sign = 1 if at == "corrupt" else -1
    for name, total in made.totals().items():
        if name in ("x", "y"):
            continue
        theirs = bt.tensor_values(explainer, _runs()[other], [name])[name]
        moved = value(bt.patch(explainer, _runs()[at], {name: theirs})["y"]) - value(runs[at])
        np.testing.assert_allclose(total, sign * moved, rtol=1e-3, atol=1e-5)


def _runs() -> dict[str, Any]:
    return {"clean": CLEAN, "corrupt": CORRUPT}


def test_the_mean_of_both_runs_slopes() -> None:
    explainer = Explainer(mlp())
    made = {at: bt.patching(explainer, CLEAN, CORRUPT, 1, at=at) for at in ("corrupt", "clean")}
    both = bt.patching(explainer, CLEAN, CORRUPT, 1, at="both")
    for name, scores in both.scores.items():
        mean = (made["corrupt"].scores[name] + made["clean"].scores[name]) / 2
        np.testing.assert_allclose(scores, mean, rtol=1e-6, atol=1e-12)


def test_single_units_are_estimated_each() -> None:
    explainer = Explainer(_linear())
    made = bt.patching(explainer, CLEAN, CORRUPT, 2, tensors=["s"])
    assert made.scores.keys() == {"s"}
    theirs = bt.tensor_values(explainer, CLEAN, ["s"])["s"]
    before = explainer.explain(CORRUPT).outputs["y"][:, 2]
    for unit in range(5):

        def change(own: Any, unit: int = unit) -> Any:
            own = own.copy()
            own[:, unit] = theirs[:, unit]
            return own

        moved = bt.patch(explainer, CORRUPT, {"s": change})["y"][:, 2] - before
        np.testing.assert_allclose(made.scores["s"][:, unit], moved, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(made.totals("channel")["s"], made.scores["s"])


def _language_model() -> Any:
    nodes = [
        node("Gather", ["table", "ids"], ["e"], "lookup"),
        node("MatMul", ["e", "w"], ["h"], "mix"),
        node("Tanh", ["h"], ["a"], "act"),
        node("MatMul", ["a", "v"], ["y"], "head"),
    ]
    weights = {"table": normal(20, 6), "w": normal(6, 6, seed=1), "v": normal(6, 20, seed=2)}
    kinds = {"ids": (INT64, ["n", "t"])}, {"y": (FLOAT, ["n", "t", 20])}
    return model(nodes, *kinds, weights)


def test_positions_and_channels_of_a_language_model() -> None:
    explainer = Explainer(_language_model())
    clean, corrupt = np.array([[3, 1, 4, 5]]), np.array([[3, 1, 9, 5]])
    made = bt.patching(explainer, clean, corrupt, {(2, 7): 1.0, (2, 3): -1.0}, task=None)
    positions, channels = made.totals("position"), made.totals("channel")
    assert positions["a"].shape == (1, 4)
    assert channels["a"].shape == (1, 6)
    assert not positions["a"][0, [0, 1, 3]].any()
    assert positions["a"][0, 2]
    assert "ids" not in made.scores
    want = [y[0, 2, 7] - y[0, 2, 3] for y in (made.explanation.outputs["y"],)]
    np.testing.assert_allclose(made.corrupt, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"mode": "default"}, "takes a mode of one walk that carries slopes"),
        ({"mode": "integrated_gradients"}, "takes a mode of one walk that carries slopes"),
        ({"metric": None}, "takes a metric, the same for both runs"),
        (
            {"at": "either"},
            "at is the run whose slopes are taken, corrupt, clean or both, or line, not 'either'",
        ),
        ({"steps": 4}, r"steps are points of a line: at='line' takes them, at='corrupt' does not"),
        ({"at": "line", "steps": 0}, "steps is the number of points on the line, from 1 on, not 0"),
        ({"mode": "auto"}, "what auto picks hangs on a model; name a mode here"),
        ({"corrupt": normal(3, 4)}, "must be of one shape: tensor 'h'"),
        ({"tensors": ["hh"]}, "did you mean 'h'"),
        ({"tensors": "h"}, r"tensors is a list of names, as in \['h'\]"),
        ({"metric": {}}, "takes a metric, the same for both runs"),
        ({"metric": {1: "much"}}, "weights of a metric are finite numbers by entry, not 'much'"),
        ({"metric": lambda y: y}, "takes the output and the number of channels"),
    ],
)
def test_what_cannot_be_estimated(asked: dict[str, Any], message: str) -> None:
    given = {"clean": CLEAN, "corrupt": CORRUPT, "metric": 1, "tensors": ["h"], **asked}
    with pytest.raises(RequestError, match=message):
        bt.patching(Explainer(mlp()), **given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": CLEAN}, "'x' is an input or a constant of the model, not one that it computes"),
        ({"hh": CLEAN}, "'hh' is no tensor of the model, .*; did you mean 'h'"),
        ({"h": np.ones((2, 6))}, r"the value of 'h' has shape \(2, 6\), the tensor \('N', 5\)"),
        ({"h": "five"}, "the value of 'h' holds <U4, and float32 is taken: give numbers"),
        ({"h": normal(1, 5) * 1j}, "the value of 'h' holds complex64"),
        (["h"], "values are arrays or functions by tensor, not list"),
    ],
)
def test_what_cannot_be_patched(values: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        bt.patch(Explainer(mlp()), CLEAN, values)


def test_totals_are_by_tensor_position_or_channel() -> None:
    made = bt.patching(Explainer(mlp()), CLEAN, CORRUPT, 1)
    with pytest.raises(RequestError, match="by tensor, position or channel, not 'head'"):
        made.totals("head")  # type: ignore[arg-type]


def _branching() -> Any:
    """h = x w; y = relu(h) v where sum(h) > 0, else tanh(h) v."""

    def body(name: str, op_type: str) -> Any:
        made = [helper.make_tensor_value_info(f"{name}_out", FLOAT, None)]
        inner = node(op_type, ["h"], [f"{name}_out"], f"{name}_act")
        return helper.make_graph([inner], name, [], made)

    nodes = [
        node("MatMul", ["x", "w"], ["h"], "in"),
        node("ReduceSum", ["h"], ["s"], "sum", keepdims=0),
        node("Greater", ["s", "zero"], ["c"], "positive"),
        node(
            "If",
            ["c"],
            ["r"],
            "if",
            then_branch=body("then", "Relu"),
            else_branch=body("else", "Tanh"),
        ),
        node("MatMul", ["r", "v"], ["y"], "out"),
    ]
    weights = {"w": normal(4, 5), "v": normal(5, 3, seed=1), "zero": np.float32(0)}
    x, y = (FLOAT, ["n", 4]), (FLOAT, ["n", 3])
    return model(nodes, {"x": x}, {"y": y}, weights)


def test_branches_stay_as_they_ran_and_must_be_the_same() -> None:
    explainer = Explainer(_branching())
    h = CLEAN @ normal(4, 5)
    branch = np.tanh if h.sum() <= 0 else lambda x: np.maximum(x, 0)
    found = bt.patch(explainer, CLEAN, {"h": lambda own: -own})["y"]
    np.testing.assert_allclose(found, branch(-h) @ normal(5, 3, seed=1), rtol=1e-4, atol=1e-5)
    made = bt.patching(explainer, CLEAN, 1.1 * CLEAN, 0)
    assert made.scores.keys() >= {"h", "r"}
    with pytest.raises(RequestError, match="take other branches of the model's control flow"):
        bt.patching(explainer, CLEAN, -CLEAN, 0)
