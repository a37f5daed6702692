"""Several targets of one batch: what each has alone, bit for bit, of one run of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import backtrace_onnx as bt
from backtrace_onnx import Explainer, Explanation, Explanations, RequestError
from backtrace_onnx.engines import copies, remembered_runs
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.trace import Trace
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

Array = npt.NDArray[Any]
MODELS = Path(__file__).parents[2] / "models"
MODES = ["default", "contrastive", "epsilon(absolute=1e-6)", "gradient", "lrp", "attnlrp", "cnn"]
COMPARING = ["deeplift", "integrated_gradients(steps=3)", "smoothgrad(samples=3)", "gradcam"]


def _digits(count: int) -> Array:
    return np.random.default_rng(3).random((count, 1, 28, 28), np.float32)


def _same(one: Explanation, other: Explanation) -> None:
    for name, r in other.relevance.items():
        np.testing.assert_array_equal(one.relevance[name], r)
    for name, y in other.outputs.items():
        np.testing.assert_array_equal(one.outputs[name], y)
    np.testing.assert_array_equal(one.target, other.target)
    assert (one.notes, one.task, one.mode, one.axes) == (
        other.notes,
        other.task,
        other.mode,
        other.axes,
    )
    assert list(one.ledger) == list(other.ledger)
    for book, expected in zip(one.ledger.values(), other.ledger.values(), strict=True):
        np.testing.assert_array_equal(book.incoming, expected.incoming)
        np.testing.assert_array_equal(book.data, expected.data)
    np.testing.assert_array_equal(one.ledger.total().unassigned, other.ledger.total().unassigned)
    np.testing.assert_array_equal(one.ledger.sizes.shared, other.ledger.sizes.shared)


def _check(explainer: Explainer, x: Any, targets: Any, **how: Any) -> Explanations:
    found = explainer.explain(x, targets=targets, **how)
    assert isinstance(found, Explanations)
    asked = range(len(found)) if isinstance(targets, str) else targets
    assert len(found) == len(asked)
    for one, target in zip(found, asked, strict=True):
        _same(one, explainer.explain(x, target=target, **how))
    return found


@pytest.mark.parametrize("mode", [*MODES, *COMPARING])
@pytest.mark.parametrize("count", [1, 3])
def test_every_class_is_explained_as_it_is_alone(mode: str, count: int) -> None:
    explainer, x = Explainer(MODELS / "mnist_cnn.onnx"), _digits(count)
    targets = [7, 0, -1] if mode in COMPARING else "all"
    found = _check(explainer, x, targets, mode=mode)
    name = next(iter(found[0].inputs))
    assert found.stacked(name).shape == (len(found), *x.shape)
    assert found.outputs is found[0].outputs and len(found[1:]) == len(found) - 1


@pytest.mark.parametrize("mode", ["default", "lrp", "smoothgrad(samples=3)"])
def test_the_other_engine_answers_alike(mode: str) -> None:
    engine: Any = "onnxruntime"
    _check(Explainer(MODELS / "mnist_cnn.onnx", engine=engine), _digits(2), [3, 5], mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_parts_of_any_size_answer_alike(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two targets at once, then two, then one; and one at a time."""
    explainer, x = Explainer(mlp()), normal(2, 4, seed=3)
    whole = explainer.explain(x, targets=[2, 1, 0, 1, 2], mode=mode)
    trace = explainer._model.main.trace_of(find_method(mode))
    held = sum(a.nbytes for a in trace.run({"x": x}).values())
    for room in (2 * held, 0):
        monkeypatch.setattr(copies, "TOGETHER", room)
        for one, other in zip(
            explainer.explain(x, targets=[2, 1, 0, 1, 2], mode=mode), whole, strict=True
        ):
            _same(one, other)


def test_the_model_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    run = Trace._run

    def counted(self: Trace, feeds: Any, fetched: Any) -> Any:
        runs.append(len(next(iter(feeds.values()))))
        return run(self, feeds, fetched)

    monkeypatch.setattr(Trace, "_run", counted)
    monkeypatch.setattr(copies, "TOGETHER", 0)
    explainer, x = Explainer(mlp()), normal(2, 4, seed=3)
    explainer.explain(x, targets="all", mode="gradient")
    assert runs == [2]
    runs.clear()
    explainer.explain(x, targets="all", mode="deeplift")
    assert runs == [2, 2, 2]  # with what it answers, at the input, and at the baseline
    runs.clear()
    explainer.explain(x, targets="all", mode="integrated_gradients(steps=4)")
    shared = len(runs)
    runs.clear()
    monkeypatch.setattr(remembered_runs, "KEPT", 0)
    explainer.explain(x, targets="all", mode="integrated_gradients(steps=4)")
    assert shared < len(runs)


def test_kept_tensors_labels_per_sample_and_targets_of_every_kind() -> None:
    explainer, x = Explainer(mlp()), normal(3, 4, seed=3)
    _check(explainer, x, [0, np.array([2, 1, 0]), (1,)], keep="all", mode="contrastive")
    _check(explainer, x, np.array([[0, 1, 2], [2, 2, 2]]), mode="gradient")
    _check(explainer, x, "all", task="regression", mode="epsilon(absolute=1e-6)")


def _shared_input() -> Any:
    """A second input that is one for all samples."""
    nodes = [node("Mul", ["x", "s"], ["h"], "scale"), node("MatMul", ["h", "W"], ["y"], "fc")]
    kinds = {"x": (FLOAT, ["n", 4]), "s": (FLOAT, [4])}, {"y": (FLOAT, ["n", 3])}
    return model(nodes, *kinds, {"W": normal(4, 3)})


def _over_the_batch() -> Any:
    """Every answer is relative to the sum over the batch."""
    nodes = [
        node("MatMul", ["x", "W"], ["h"], "fc"),
        node("ReduceSum", ["h", "axes"], ["s"], "sum", keepdims=1),
        node("Div", ["h", "s"], ["y"], "relative"),
    ]
    weights = {"W": np.abs(normal(4, 3)), "axes": np.array([0], np.int64)}
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)


def test_samples_that_are_not_apart_are_explained_one_target_after_another() -> None:
    x = np.abs(normal(2, 4, seed=3))
    for made in (_shared_input(), _over_the_batch()):
        feeds = {"x": x, "s": np.ones(4, np.float32)}
        explainer = Explainer(made)
        own = {name: feeds[name] for name in explainer.graph.inputs}
        _check(explainer, own, "all", mode="default")
        _check(explainer, own, "all", mode="gradient")


def test_both_classes_of_one_probability_and_tokens_of_a_text() -> None:
    nodes = [node("MatMul", ["x", "W"], ["h"], "fc"), node("Sigmoid", ["h"], ["p"], "squash")]
    kinds = {"x": (FLOAT, ["n", 4])}, {"p": (FLOAT, ["n", 1])}
    explainer = Explainer(model(nodes, *kinds, {"W": normal(4, 1)}))
    found = _check(explainer, normal(2, 4, seed=2), "all", mode="lrp")
    assert len(found) == 2 and found[0].binary == "probability"
    table, head = normal(9, 4, seed=4), normal(4, 9, seed=5)
    nodes = [node("Gather", ["T", "input_ids"], ["e"], "rows"), node("MatMul", ["e", "H"], ["y"])]
    kinds = {"input_ids": (INT64, ["n", "t"])}, {"y": (FLOAT, ["n", "t", 9])}
    explainer = Explainer(model(nodes, *kinds, {"T": table, "H": head}))
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    _check(explainer, ids, [5, (0, 3), (-1, -1)], task="generation")


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"targets": "most"}, "targets is a list"),
        ({"targets": []}, "targets is a list"),
        ({"targets": 3}, "targets is a list"),
        ({"targets": [1], "target": 2}, "either target, or targets"),
        ({"targets": [1], "start": np.ones((2, 3), np.float32)}, "either start, or target"),
        ({"targets": [0, 17]}, "out of range"),
        ({"targets": "all", "task": "segmentation"}, "list the targets"),
        ({"targets": [0], "task": "segmentation"}, "takes no target"),
    ],
)
def test_what_does_not_fit_is_said(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Explainer(mlp()).explain(normal(2, 4), **asked)


def test_explain_once_takes_several_too() -> None:
    told: list[tuple[int, int]] = []
    found = bt.explain(
        mlp(), normal(2, 4), targets=[1, 2], progress=lambda *of: told.append(of), mode="lrp"
    )
    assert isinstance(found, Explanations) and "2 targets" in repr(found)
    assert told == sorted(told) and told[-1][0] == told[-1][1]
