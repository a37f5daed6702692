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
from tests.graphs import FLOAT, model, node, normal, unary
from tests.targets.axes_models import PAIRS, both, detector, linear

STEPS = linear(
    [1, 4, 7],
    [7, 1, 5],
    node("Transpose", ["x"], ["t"], perm=[2, 0, 1]),
    w=normal(4, 5),
)
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
    asked = [str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--target", "0,2"]
    asked += ["--mode", "default", "--json"]
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
