"""What is a sample of an output: found in the graph, else by sizes, else as one is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, RequestError
from backtrace_onnx.targets.output_axes import OutputAxes
from tests.graphs import FLOAT, Array, model, node, normal
from tests.targets.axes_models import ENGINES, PAIRS, both, detector, linear

MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")


def started(row: Array, k: int) -> tuple[float, float]:
    """What a row of classes starts for and against class k: a negative one, the opposite."""
    rest = np.delete(row, k)
    good = max(row[k], 0) + np.maximum(-rest, 0).sum()
    return float(good), float(max(-row[k], 0) + np.maximum(rest, 0).sum())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", ["N", 1])
def test_detections_are_entries_of_one_sample(batch: Any, mode: str) -> None:
    x = normal(1, 8)
    made = both(detector(batch), x, target=(3, 5), mode=mode)
    y = made.outputs["y"]
    assert y.shape == (6, 7)
    assert made.layout == OutputAxes(None, 1, 2)
    assert made.target is not None and made.target.tolist() == [3 * 7 + 5]
    good, bad = started(y[3], 5)
    score = np.log(y[3, 5] / (1 - y[3, 5]))  # where signed modes start: before the sigmoid
    want = {
        "contrastive": [good, bad],
        "default": [abs(y[3, 5])],
        "epsilon(absolute=1e-6)": [score],
    }[mode]
    assert made.ledger.total().start[:, 0] == pytest.approx(want, abs=1e-5)
    assert made.axes == {"x": 0}


def test_any_detection_may_be_asked_for() -> None:
    x = normal(1, 8)
    maps = [both(detector(), x, target=(0, k)).relevance["x"] for k in range(7)]
    assert len({m.tobytes() for m in maps}) == 7
    with pytest.raises(RequestError, match=r"target \(6, 0\) does not fit"):
        Explainer(detector()).explain(x, target=(6, 0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("people", [2, 6])
def test_pairs_are_entries_of_one_sample(people: int, mode: str) -> None:
    x = normal(people, 6)
    made = both(PAIRS, x, target=(people // 2 - 1, 2), mode=mode)
    assert made.ledger.total().start.shape[1] == 1
    assert made.relevance["x"][-2:].any() and not made.relevance["x"][:-2].any()
    assert made.axes == {"x": None}


@pytest.mark.parametrize("shape", [[1, 4, 7], ["N", 4, 7]])
def test_a_batch_on_the_second_axis(shape: list[Any]) -> None:
    y = [7, shape[0], 5]
    steps = linear(shape, y, node("Transpose", ["x"], ["t"], perm=[2, 0, 1]), w=normal(4, 5))
    x = normal(1, 4, 7)
    made = both(steps, x, target=(3, 2), mode="contrastive")
    assert made.layout == OutputAxes(1, 2, 3)
    row = made.outputs["y"][3, 0].astype(np.float64)
    total = made.ledger.total()
    assert total.start[:, 0] == pytest.approx(started(row, 2), abs=1e-5)
    assert not made.relevance["x"][0][:, [0, 1, 2, 4, 5, 6]].any()


def recurrent(x: list[Any], y: list[Any]) -> onnx.ModelProto:
    """An LSTM that reads [time, batch, features], and a linear layer behind it."""
    return model(
        [
            node("LSTM", ["x", "wx", "wh"], ["h"], hidden_size=3),
            node("Squeeze", ["h", "one"], ["t"]),
            node("MatMul", ["t", "w"], ["y"]),
        ],
        {"x": (FLOAT, x)},
        {"y": (FLOAT, y)},
        {
            "wx": normal(1, 12, 4),
            "wh": normal(1, 12, 3, seed=1),
            "one": np.array([1]),
            "w": normal(3, 5),
        },
    )


@pytest.mark.parametrize("sizes", [["T", "N"], ["N", "T"], [6, 2], ["T", 2]])
def test_what_a_recurrent_cell_steps_along_is_no_batch(sizes: list[Any]) -> None:
    x = normal(6, 2, 4, seed=4)
    made = both(recurrent([*sizes, 4], [*sizes, 5]), x)
    assert made.layout.samples == 1
    alone = Explainer(recurrent(["T", "N", 4], ["T", "N", 5])).explain(x[:, 1:])
    assert np.allclose(made.relevance["x"][:, 1:], alone.relevance["x"], atol=1e-6)
    assert bool(made.notes) == (sizes[1] == 2)


NAMES = [("batch", "T"), ("N", "T"), ("B", "L"), ("N", "time"), ("bs", "seq"), ("rows", "places")]


@pytest.mark.parametrize("names", NAMES)
def test_steps_that_are_read_first_are_no_batch_whatever_they_are_called(
    names: tuple[str, str],
) -> None:
    batch, steps = names
    proto = model(
        [
            node("Transpose", ["x"], ["k"], perm=[0, 2, 1]),
            node("MatMul", ["x", "k"], ["scores"]),
            node("Softmax", ["scores"], ["weights"], axis=-1),
            node("MatMul", ["weights", "x"], ["c"]),
            node("MatMul", ["c", "w"], ["o"]),
            node("Transpose", ["o"], ["y"], perm=[1, 0, 2]),
        ],
        {"x": (FLOAT, [batch, steps, 5])},
        {"y": (FLOAT, [steps, batch, 7])},
        {"w": normal(5, 7)},
    )
    x = normal(2, 6, 5, seed=4)
    made = both(proto, x)
    assert made.layout.samples == 1
    alone = Explainer(proto).explain(x[1:])
    assert np.allclose(made.relevance["x"][1:], alone.relevance["x"], atol=1e-6)


@pytest.mark.parametrize("steps", [5, 7])
def test_samples_that_a_reshape_leaves_side_by_side(steps: int) -> None:
    """As the newer torch exporter writes a GRU of steps whose number it fixed."""
    apart = [
        node("Unsqueeze", ["x", "two"], ["u"]),
        node("Reshape", ["u", "steps"], ["t"]),
    ]
    proto = linear(
        ["T", "N", 4],
        ["T", "N", 3],
        *apart,
        two=np.array([2]),
        steps=np.array([steps, -1, 4]),
        w=normal(4, 3),
    )
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "seq"
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "batch"
    made = both(proto, normal(steps, 2, 4), target=(4, 1))
    assert made.layout.samples == 1 and made.axes == {"x": 1}


FIXED = {
    "[3]": ([3], normal(4)),
    "[3, 1]": ([3, 1], normal(4, 1)),
    "[3, 2]": ([3, 2], normal(4, 2)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", FIXED)
def test_a_fixed_batch_is_decided_by_the_inputs_and_said(shape: str, mode: str) -> None:
    y, w = FIXED[shape]
    x = normal(3, 4)
    made = both(linear([3, 4], y, w=w), x, mode=mode)
    dynamic = Explainer(linear(["N", 4], ["N", *y[1:]], w=w)).explain(x, mode=mode)
    assert np.array_equal(made.relevance["x"], dynamic.relevance["x"])
    assert np.array_equal(made.ledger.total().start, dynamic.ledger.total().start)
    (note,) = set(made.notes) - set(dynamic.notes)
    assert "axis 0 of output 'y' is taken for 3 samples" in note.text
    with pytest.raises(RequestError, match="target"):
        Explainer(linear([3, 4], y, w=w)).explain(x, target=2)


@pytest.mark.parametrize("shape", FIXED)
def test_the_user_says_that_it_is_one_sample(shape: str) -> None:
    y, w = FIXED[shape]
    x = normal(3, 4)
    made = both(linear([3, 4], y, w=w), x, sample_axis="none", target=2, mode="contrastive")
    assert made.target is not None and made.target.tolist() == [2]
    assert made.ledger.total().start.shape == (2, 1)
    assert not any("taken for" in note.text for note in made.notes)
    assert made.axes == {"x": None}


@pytest.mark.parametrize("y", [[2], [1, 2]])
def test_a_fixed_batch_of_one_is_one_sample_of_classes(y: list[int]) -> None:
    proto = linear([1, 4], [1, 2], w=normal(4, 2))
    if len(y) == 1:
        proto = model(
            [node("MatMul", ["x", "w"], ["z"]), node("Reshape", ["z", "two"], ["y"])],
            {"x": (FLOAT, [1, 4])},
            {"y": (FLOAT, [2])},
            {"w": normal(4, 2), "two": np.array([2])},
        )
    made = both(proto, normal(1, 4), target=1)
    assert made.ledger.total().start.shape == (1, 1)
    assert not made.notes


def test_the_mean_of_a_fixed_batch_is_one_sample() -> None:
    mean = node("ReduceMean", ["x", "zero"], ["t"], keepdims=0)
    proto = linear([4, 4], [3], mean, zero=np.array([0]), w=normal(4, 3))
    made = both(proto, normal(4, 4), target=1)
    assert made.ledger.total().start.shape == (1, 1)


@pytest.mark.parametrize("first", ["t", None, "rows", 5, "N"])
def test_one_place_along_axis_1_may_be_the_batch_of_steps(first: Any) -> None:
    proto, x = linear([first, 1, 6], [first, 1, 3], w=normal(6, 3)), normal(5, 1, 6)
    made = both(proto, x)
    assert made.layout.samples == 0
    said = "the steps of one sample, sample_axis=1 (--sample-axis 1)"
    assert any(said in note.text for note in made.notes) == (first != "N")
    with pytest.raises(
        RequestError, match=r"\(2, 1\) does not fit.*steps of one sample, sample_ax"
    ):
        Explainer(proto).explain(x, target=(2, 1))
    for told in ({"task": "ctc"}, {"sample_axis": 1}):
        made = both(proto, x, target=(2, 1), mode="epsilon(absolute=1e-6)", **told)
        assert made.layout.samples == 1 and made.target is not None
        assert made.target.tolist() == [2 * 3 + 1]
        assert not made.relevance["x"][[0, 1, 3, 4]].any()
        assert not any("steps of one" in note.text for note in made.notes)


def test_one_channel_of_a_picture_is_no_batch() -> None:
    flat = node("Flatten", ["x"], ["t"])
    made = both(linear(["rows", 1, 6], ["rows", 3], flat, w=normal(6, 3)), normal(5, 1, 6))
    assert made.layout.samples == 0
    assert not any("steps" in note.text for note in made.notes)


def _two_inputs(y: list[Any]) -> onnx.ModelProto:
    """y = (b w + the sum of all rows of a v) u: as many rows as b has."""
    return model(
        [
            node("MatMul", ["b", "w"], ["q"]),
            node("MatMul", ["a", "v"], ["rows"]),
            node("ReduceSum", ["rows", "zero"], ["k"], keepdims=0),
            node("Add", ["q", "k"], ["h"]),
            node("MatMul", ["h", "u"], ["y"]),
        ],
        {"a": (FLOAT, [5, 3]), "b": (FLOAT, [2, 3])},
        {"y": (FLOAT, y)},
        {
            "w": normal(3, 4),
            "v": normal(3, 4, seed=3),
            "u": normal(4, *([3] if len(y) > 1 else [])),
            "zero": np.array([0]),
        },
    )


@pytest.mark.parametrize("y", [[2], ["k"], [2, 3], ["k", 3]])
def test_inputs_that_hold_different_numbers_of_samples_are_named(y: list[Any]) -> None:
    feeds = {"a": normal(5, 3), "b": normal(2, 3, seed=5)}
    for engine in ENGINES:
        explainer = Explainer(_two_inputs(y), engine=engine)  # type: ignore[arg-type]
        made = explainer.explain(feeds, mode="epsilon(absolute=1e-6)")
        assert made.layout.samples is None
        (note,) = (n.text for n in made.notes if "one sample" in n.text)
        assert "('a' 5, 'b' 2); sample_axis=0 takes its axis 0 for 2 samples" in note
        said = explainer.explain(feeds, mode="epsilon(absolute=1e-6)", sample_axis=0)
        assert said.ledger.total().start.shape[1] == 2
        for made in (
            said,
            explainer.explain(feeds, mode="epsilon(absolute=1e-6)", sample_axis="none"),
        ):
            assert not any("one sample" in n.text for n in made.notes)
