"""What is a sample and what is a class: one axis of the output each, the rest are entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, Explanation, RequestError
from backtrace_onnx.cli import main
from backtrace_onnx.targets.output_axes import OutputAxes
from tests.graphs import FLOAT, Array, check_closed, model, node, normal, unary

ENGINES = ("numba", "onnxruntime")
MODES = ("default", "contrastive", "epsilon")


def linear(x: list[Any], y: list[Any], *before: Any, **weights: Array) -> onnx.ModelProto:
    """x -> before -> t -> MatMul with w -> y."""
    nodes = [*(before or [node("Identity", ["x"], ["t"])]), node("MatMul", ["t", "w"], ["y"])]
    return model(nodes, {"x": (FLOAT, x)}, {"y": (FLOAT, y)}, weights)


def detector(batch: str | int = "N") -> onnx.ModelProto:
    """x[batch, 8] -> 5 boxes and 3 scores each -> NonMaxSuppression -> y[n, 4 + 3]."""
    return model(
        [
            node("MatMul", ["x", "wb"], ["b"]),
            node("Reshape", ["b", "fours"], ["boxes"]),
            node("MatMul", ["x", "wc"], ["c"]),
            node("Reshape", ["c", "threes"], ["logits"]),
            node("Sigmoid", ["logits"], ["by_box"]),
            node("Transpose", ["by_box"], ["scores"], perm=[0, 2, 1]),
            node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["kept"]),
            node("Gather", ["kept", "two"], ["places"], axis=1),
            node("Squeeze", ["boxes", "first"], ["all_boxes"]),
            node("Squeeze", ["by_box", "first"], ["all_scores"]),
            node("Gather", ["all_boxes", "places"], ["kept_boxes"], axis=0),
            node("Gather", ["all_scores", "places"], ["kept_scores"], axis=0),
            node("Concat", ["kept_boxes", "kept_scores"], ["y"], axis=1),
        ],
        {"x": (FLOAT, [batch, 8])},
        {"y": (FLOAT, ["n", 7])},
        {
            "wb": normal(8, 20, seed=1),
            "wc": normal(8, 15, seed=2),
            "fours": np.array([-1, 5, 4]),
            "threes": np.array([-1, 5, 3]),
            "most": np.array([2]),
            "overlap": np.array([1.0], np.float32),
            "least": np.array([-1.0], np.float32),
            "two": np.array(2),
            "first": np.array([0]),
        },
    )


PAIRS = linear(
    ["people", 6],
    ["pairs", 3],
    node("Reshape", ["x", "twelve"], ["t"]),
    twelve=np.array([-1, 12]),
    w=normal(12, 3),
)
STEPS = linear(
    [1, 4, 7],
    [7, 1, 5],
    node("Transpose", ["x"], ["t"], perm=[2, 0, 1]),
    w=normal(4, 5),
)


def both(proto: onnx.ModelProto, x: Array, **options: Any) -> Explanation:
    """The explanation, once both engines agree on relevance, target, ledger and notes."""
    found = [Explainer(proto, engine=engine).explain(x, **options) for engine in ENGINES]
    eager, compiled = found
    assert np.allclose(eager.relevance["x"], compiled.relevance["x"], atol=1e-6)
    assert np.array_equal(np.asarray(eager.target), np.asarray(compiled.target))
    assert (eager.layout, eager.notes, eager.axes) == (
        compiled.layout,
        compiled.notes,
        compiled.axes,
    )
    assert eager.ledger.keys() == compiled.ledger.keys()
    for kind in ("start", "inputs", "constants", "unassigned"):
        one, other = (getattr(made.ledger.total(), kind) for made in found)
        assert one.shape == other.shape, kind
        assert np.allclose(one, other, atol=1e-5), kind
    check_closed(eager)
    return eager


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
    want = {"contrastive": [good, bad], "default": [abs(y[3, 5])], "epsilon": [y[3, 5]]}[mode]
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


BOXES = unary("Identity", (FLOAT, ["N", 5, 8]), (FLOAT, ["N", 5, 8]))
GRID = unary("Identity", (FLOAT, ["N", 3, 2, 2]), (FLOAT, ["N", 3, 2, 2]))
GRID_LAST = unary("Identity", (FLOAT, ["N", 6, 6, 3]), (FLOAT, ["N", 6, 6, 3]))
ANCHORS = unary("Identity", (FLOAT, ["N", 7, 90]), (FLOAT, ["N", 7, 90]))
MASK = unary("Identity", (FLOAT, ["N", 1, 2, 2]), (FLOAT, ["N", 1, 2, 2]))
MIDDLE = unary("Softmax", (FLOAT, ["N", 4, 5]), (FLOAT, ["N", 4, 5]))
MIDDLE.graph.node[0].attribute.append(onnx.helper.make_attribute("axis", 1))
READ = model(
    [node("Identity", ["x"], ["y"]), node("ArgMax", ["y"], ["k"], axis=1)],
    {"x": (FLOAT, ["N", 4, 5])},
    {"y": (FLOAT, ["N", 4, 5]), "k": (7, ["N", 1, 5])},
)


ONE_D = model(
    [node("Conv", ["x", "w"], ["h"]), node("Sigmoid", ["h"], ["y"])],
    {"x": (FLOAT, ["N", 4, 9])},
    {"y": (FLOAT, ["N", 4, 9])},
    {"w": normal(4, 4, 1)},
)
TURNED = model(
    [node("MatMul", ["x", "w"], ["h"]), node("Transpose", ["h"], ["y"], perm=[0, 2, 1])],
    {"x": (FLOAT, ["N", 9, 4])},
    {"y": (FLOAT, ["N", 4, 9])},
    {"w": normal(4, 4)},
)


@pytest.mark.parametrize(
    ("proto", "axis", "target"),
    [
        (BOXES, 2, (3, 5)),
        (GRID, 1, (2, 0, 1)),
        (GRID_LAST, 3, (4, 1, 2)),
        (ANCHORS, 1, (5, 80)),
        (MIDDLE, 1, (1, 4)),
        (READ, 1, (1, 4)),
    ],
)
def test_only_the_same_entrys_classes_speak_against(
    proto: onnx.ModelProto, axis: int, target: tuple[int, ...]
) -> None:
    dims = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.abs(normal(2, *dims, seed=3))
    made = both(proto, x, mode="contrastive", target=target)
    y = made.outputs["y"].astype(np.float64)
    assert made.layout.classes == axis
    for k in range(2):
        row = np.moveaxis(y[k], axis - 1, -1)[(*target[: axis - 1], *target[axis:])]
        wanted = [row[target[axis - 1]], row.sum() - row[target[axis - 1]]]
        assert made.ledger.total().start[:, k] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("proto", [ONE_D, TURNED])
def test_the_channels_of_the_last_layer_are_the_classes(proto: onnx.ModelProto) -> None:
    dims = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim][1:]
    assert both(proto, normal(2, *dims), target=(2, 5)).layout == OutputAxes(0, 1, 3)


def test_the_users_class_axis_goes_above() -> None:
    x = np.abs(normal(1, 5, 8))
    made = both(BOXES, x, mode="contrastive", target=(3, 5), class_axis=1)
    assert made.ledger.total().start[1, 0] == pytest.approx(x[0, :, 5].sum() - x[0, 3, 5])
    assert made.relevance["x"][0, 0, 4] == 0


def test_an_entry_of_one_class_has_what_it_lacks_against_it() -> None:
    x = np.array([[[[0.9, 0.2], [0.6, 0.4]]]], np.float32)
    made = both(MASK, x, mode="contrastive", target=(0, 1, 0))
    assert made.ledger.total().start[:, 0] == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("task", ["classification", "bbox"])
def test_boxes_of_regression_have_only_their_own_against_them(task: str) -> None:
    x = np.abs(normal(1, 5, 8))
    made = both(BOXES, x, mode="contrastive", target=(3, 5), task=task)
    assert made.negative["x"].sum() == pytest.approx(x[0, 3].sum() - x[0, 3, 5], rel=1e-5)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"sample_axis": 3}, "sample_axis is 3, but output 'y' has 3 axes"),
        ({"class_axis": -4}, "class_axis is -4, but output 'y' has 3 axes"),
        ({"class_axis": 0}, "axis 0 of output 'y' holds samples, not classes"),
        ({"sample_axis": "all"}, "sample_axis is the number of an axis, not 'all'"),
        ({"class_axis": True}, "class_axis is the number of an axis, not True"),
    ],
)
def test_axes_that_do_not_fit(said: Mapping[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Explainer(BOXES).explain(normal(1, 5, 8), **said)


def test_one_entry_for_each_sample() -> None:
    x = normal(2, 5, 8)
    made = both(BOXES, x, target=[(3, 5), (0, 1)])
    assert made.target is not None and made.target.tolist() == [29, 1]


@pytest.mark.parametrize("proto", [detector(), PAIRS, STEPS])
def test_a_compiled_file_takes_the_same_entries(proto: onnx.ModelProto, tmp_path: Path) -> None:
    x = normal(*{"N": (1, 8), "people": (4, 6)}.get(_first(proto), (1, 4, 7)))
    explainer = Explainer(proto)
    explainer.compile(tmp_path / "c.onnx", mode="contrastive")
    session = ort.InferenceSession(tmp_path / "c.onnx")
    made = explainer.explain(x, mode="contrastive", target=(1, 2))
    assert made.target is not None
    (got,) = session.run(["relevance/x"], {"x": x, "target": made.target})
    assert np.allclose(got, made.relevance["x"], atol=1e-5)


def _first(proto: onnx.ModelProto) -> str:
    return proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_the_command_line_asks_for_a_detection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(detector(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", normal(1, 8))
    asked = [str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--target", "0,2", "--json"]
    assert main(["explain", *asked]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["target"]["index"] == [0, 2]
    assert main(["explain", *asked[:-1]]) == 0
    assert "explained: class 2 at 0 (" in capsys.readouterr().out
    assert sample["ledger"]["positive"]["start"] == pytest.approx(abs(sample["target"]["value"]))


def test_the_command_line_and_the_sidecar_name_axes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(linear([3, 4], [3], w=normal(4)), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", normal(3, 4))
    asked = ["explain", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--json"]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)["samples"]
    assert len(found) == 3 and "taken for 3 samples" in found[0]["notes"][0]
    assert main([*asked, "--sample-axis", "none", "--target", "2"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["target"]["index"] == 2
    (tmp_path / "m.sidecar.json").write_text('{"outputs": {"y": {"sample_axis": "none"}}}')
    assert main(asked) == 0
    assert len(json.loads(capsys.readouterr().out)["samples"]) == 1
    assert main([*asked, "--sample-axis", "x"]) == 2
    assert "number of an axis or none" in capsys.readouterr().err
    (tmp_path / "m.sidecar.json").write_text('{"outputs": {"y": {"sample_axis": 1.5}}}')
    assert main(asked) == 2
    assert "must be the number of an axis or 'none'" in capsys.readouterr().err


def test_the_layout_is_kept_in_a_file(tmp_path: Path) -> None:
    made = Explainer(STEPS).explain(normal(1, 4, 7))
    made.save(tmp_path / "e.npz")
    assert Explanation.load(tmp_path / "e.npz").layout == OutputAxes(1, 2, 3)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_inputs_that_disagree_about_the_samples_are_named(engine: Any) -> None:
    """y[2] of a[2, 3] and b[5, 3] may be two samples or one: what was assumed names b."""
    nodes = [
        node("ReduceSum", ["a", "one"], ["p"], keepdims=0),
        node("ReduceSum", ["b", "both"], ["q"], keepdims=0),
        node("Add", ["p", "q"], ["y"]),
    ]
    shapes: Any = {"a": (FLOAT, (2, 3)), "b": (FLOAT, (5, 3))}, {"y": (FLOAT, (2,))}
    weights = {"one": np.array([1]), "both": np.array([0, 1])}
    feeds = {"a": np.ones((2, 3), np.float32), "b": np.ones((5, 3), np.float32)}
    explainer = Explainer(model(nodes, *shapes, weights), engine=engine)
    made = explainer.explain(feeds)
    assert made.layout.samples == 0
    assert any("2 samples, as many as" in n.text and "(but 'b' 5)" in n.text for n in made.notes)
    whole = explainer.explain(feeds, sample_axis="none", target=1)
    assert whole.ledger.total().start.shape == (1, 1) and not whole.relevance["a"][0].any()
