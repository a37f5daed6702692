"""Rows that NonMaxSuppression chose: each is a box, and the file alone shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx import Columns
from backtrace_onnx.cli import main
from backtrace_onnx.propagation.plan import make_plan
from backtrace_onnx.targets.head_search import find_head
from tests.detectors import PICTURES, chosen, detector, one_score
from tests.graphs import FLOAT, model, node, normal

CHOSEN = {
    "joined": Columns(4),
    "multiplied": Columns(4),
    "both": Columns(5),
    "written": Columns(5),
    "apart": Columns(),
}


def explainer_head(explainer: bt.Explainer, output: str) -> str:
    """The function of scores that an output is."""
    return find_head(make_plan(explainer.graph), output).function


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("form", CHOSEN)
def test_rows_that_were_chosen_are_boxes(form: str, engine: Any) -> None:
    """One sample of n boxes; the best class of the best box, against the same box's others."""
    explainer = bt.Explainer(chosen(form), engine=engine)
    made = explainer.explain(PICTURES[:1], mode="contrastive")
    y = made.outputs[made.output]
    columns, first = made.layout.columns, CHOSEN[form].first
    assert made.task == "detection" and made.layout.samples is None and columns == CHOSEN[form]
    assert any("explained as a detector's" in note.text for note in made.notes)
    box, label = np.unravel_index(y[:, first:].argmax(), y[:, first:].shape)
    assert made.target is not None and made.target.tolist() == [box * y.shape[1] + first + label]
    start = made.ledger.total().start[:, 0]
    own = y[box, first:]
    function = explainer_head(explainer, made.output)
    turned = (own < 0.5) & (function in ("sigmoid", "mixed")) & (form != "both")  # a product there
    against = (np.arange(len(own)) != label) != turned  # a negative score starts the other channel
    assert start == pytest.approx([own[~against].sum(), own[against].sum()], rel=1e-4)
    named = explainer.explain(PICTURES[:1], mode="contrastive", target=(int(box), int(label)))
    np.testing.assert_array_equal(named.relevance["x"], made.relevance["x"])
    plain = explainer.explain(PICTURES[:1], task="classification")
    assert plain.task == "classification"


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("form", ["multiplied", "both", "written"])
def test_scores_times_objectness_have_no_one_score_and_that_is_said(form: str, engine: Any) -> None:
    """A signed mode starts at the product, which is what is used."""
    explainer = bt.Explainer(chosen(form), engine=engine)
    for mode in ("epsilon(absolute=1e-6)", "gradient"):
        made = explainer.explain(PICTURES[:1], mode=mode)
        best = made.outputs[made.output][:, CHOSEN[form].first :].max()
        assert made.ledger.total().start[0] == pytest.approx([best], rel=1e-5)
        assert sum("functions of no single score" in note.text for note in made.notes) == 1
    plain = explainer.explain(PICTURES[:1])
    assert not any("single score" in note.text for note in plain.notes)


@pytest.mark.parametrize("form", ["both", "written"])
def test_labels_beside_scores_that_hold_objectness(form: str) -> None:
    explainer = bt.Explainer(chosen(form))
    made = explainer.explain(PICTURES[:1], labels=["a", "b", "c"])
    assert made.layout.columns == Columns(5)
    assert any("multiplied by it already" in note.text for note in made.notes)


@pytest.mark.parametrize("form", CHOSEN)
def test_compiled_files_of_chosen_rows(form: str, tmp_path: Path) -> None:
    explainer = bt.Explainer(chosen(form))
    explainer.compile(tmp_path / "c.onnx", target="required")
    session = ort.InferenceSession(tmp_path / "c.onnx")
    for target in ((-1, -1), (0, 1)):
        asked = {"x": PICTURES[:1], "target": np.array([target])}
        (got,) = session.run(["relevance/x"], asked)
        want = explainer.explain(PICTURES[:1], target=target).relevance["x"]
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("form", ["all", "kept"])
def test_boxes_beside_one_score_each(form: str, engine: Any) -> None:
    """Every entry is a box and has one score, without an axis of classes."""
    explainer = bt.Explainer(one_score(form), engine=engine)
    x = PICTURES if form == "all" else PICTURES[:1]
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        made = explainer.explain(x, mode=mode)
        p = made.layout.rows(made.outputs["scores"])[..., 0]
        assert made.task == "detection" and made.output == "scores" and made.layout.are_single
        assert made.target is not None and made.target.tolist() == p.argmax(1).tolist()
        best = p.max(1)
        one = best if form == "kept" else np.log(best / (1 - best))  # a product has no one score
        want = {
            "contrastive": [best, 1 - best],
            "default": [best],
            "epsilon(absolute=1e-6)": [one],
        }[mode]
        assert np.allclose(made.ledger.total().start, want, rtol=1e-4)
        asked = [explainer.explain(x, mode=mode, target=t).relevance["x"] for t in (2, (2, 0))]
        np.testing.assert_array_equal(*asked)
        assert np.abs(asked[0] - made.relevance["x"]).max() > 1e-4 * np.abs(asked[0]).max()
    (note,) = (n.text for n in made.notes if "detector's" in n.text)
    assert "(their boxes are in 'boxes')" in note and note.endswith("the target is a box")
    boxes = explainer.explain(x, output="boxes", task="regression")
    assert boxes.layout.classes != boxes.layout.rank
    with pytest.raises(bt.RequestError, match="out of range"):
        explainer.explain(x, target=99)


@pytest.mark.parametrize("form", ["all", "kept"])
def test_compiled_files_of_one_score_each(form: str, tmp_path: Path) -> None:
    explainer = bt.Explainer(one_score(form))
    explainer.compile(tmp_path / "c.onnx", target="required", mode="contrastive")
    session = ort.InferenceSession(tmp_path / "c.onnx")
    x = PICTURES if form == "all" else PICTURES[:1]
    for target in ((-1, -1), (1, 0)):
        asked = {"x": x, "target": np.array([target] * len(x))}
        (got,) = session.run(["relevance/x"], asked)
        want = explainer.explain(x, target=target, mode="contrastive").relevance["x"]
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_one_box_for_each_sample_is_no_list_of_boxes() -> None:
    """boxes[N, 4] and scores[N] of a batch of N: a sample each."""
    proto = one_score("all")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "cell"))
    for name in ("boxes", "scores"):
        proto.graph.node.append(
            onnx.helper.make_node("Gather", [name, "cell"], [f"{name}0"], axis=1)
        )
    del proto.graph.output[:]
    for name, shape in (("boxes0", ["N", 4]), ("scores0", ["N"])):
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, shape))
    made = bt.Explainer(proto).explain(PICTURES, output="scores0")
    assert made.task == "classification" and made.layout.samples == 0


def test_the_report_of_one_score_each_draws_the_box(tmp_path: Path, capsys: Any) -> None:
    onnx.save(one_score("all"), tmp_path / "m.onnx")
    meaning = {"task": "detection", "boxes": {"output": "boxes", "format": "cxcywh"}}
    (tmp_path / "m.sidecar.json").write_text(json.dumps({"outputs": {"scores": meaning}}))
    np.save(tmp_path / "x.npy", PICTURES[:1])
    files = [str(tmp_path / "m.onnx"), str(tmp_path / "x.npy")]
    assert main(["explain", *files, "--boxes", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["samples"]
    assert len(found) == 2 and found[0]["target"]["label"].startswith("box ")
    assert main(["explain", *files, "--target", "3"]) == 0
    assert "box 3" in capsys.readouterr().out


def test_the_report_says_that_chosen_rows_are_boxes(tmp_path: Path, capsys: Any) -> None:
    onnx.save(chosen("joined"), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", PICTURES[:1])
    assert main(["explain", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "detection"
    (sample,) = found["samples"]
    assert any("explained as a detector's" in note for note in sample["notes"])


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("layout", ["yolo8", "rows"])
def test_raw_scores_joined_with_boxes_are_no_detector_s_but_a_note_names_the_task(
    layout: str, engine: Any
) -> None:
    proto = detector(layout)
    next(n for n in proto.graph.node if n.op_type == "Sigmoid").op_type = "Identity"
    explainer = bt.Explainer(proto, engine=engine)
    made = explainer.explain(PICTURES)
    assert made.task == "classification"
    (note,) = [note.text for note in made.notes if "joins four columns" in note.text]
    assert "'y'" in note and "task='detection'" in note
    asked = explainer.explain(PICTURES, task="detection")
    assert asked.layout.columns == Columns(4)
    y = asked.outputs["y"] if layout == "rows" else asked.outputs["y"].transpose(0, 2, 1)
    best = y[..., 4:].reshape(len(y), -1).max(1)
    np.testing.assert_allclose(asked.ledger.total().start[0], best, rtol=1e-5)
    for options in ({"task": "classification"}, {"task": "detection"}):
        named = explainer.explain(PICTURES, **options)
        assert not any("joins four columns" in note.text for note in named.notes)


def test_what_no_graph_joins_has_no_note_of_boxes() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], strides=[4, 4]),
        node("Reshape", ["c", "flat"], ["y"]),
    ]
    weights = {"w": normal(7, 3, 4, 4), "flat": np.array([0, 0, -1])}
    kinds = {"x": (FLOAT, ["N", 3, 16, 16])}, {"y": (FLOAT, ["N", 7, 16])}
    made = bt.explain(model(nodes, *kinds, weights), PICTURES)
    assert not any("joins four columns" in note.text for note in made.notes)
