"""Which columns of a detector are scores: by labels, by the graph, and where a choice numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

import backtrace_onnx as bt
from backtrace_onnx import Columns
from backtrace_onnx.cli import main
from tests.detectors import CLASSES, PICTURES, detector, end_to_end
from tests.graphs import FLOAT, model, node, normal
from tests.targets.entry_models import quiet_options

FORMS = {"all": (4, 5), "best": (4, 5), "kept": (6, 5)}  # columns of the score and the number


def _shared() -> onnx.ModelProto:
    """[N, A, 5 + C] as YOLOv5 has it: one sigmoid over all, split 2 | 2 | 1 + C and joined."""
    nodes = [
        node("Conv", ["x", "w"], ["c4"], strides=[4, 4]),
        node("Reshape", ["c4", "flat"], ["c"]),
        node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
        node("Sigmoid", ["t"], ["s"]),
        node("Split", ["s", "sizes"], ["a", "b", "o"], axis=2),
        node("Mul", ["a", "far"], ["a2"]),
        node("Mul", ["b", "far"], ["b2"]),
        node("Concat", ["a2", "b2", "o"], ["y"], axis=2),
    ]
    weights = {
        "w": normal(8, 3, 4, 4, seed=1) * np.float32(0.2),
        "flat": np.array([0, 0, -1]),
        "sizes": np.array([2, 2, 4]),
        "far": np.float32(16),
    }
    shapes: Any = {"x": (FLOAT, ["N", 3, 16, 16])}, {"y": (FLOAT, ["N", 16, 8])}
    return model(nodes, *shapes, weights)


@pytest.mark.parametrize(
    ("proto", "columns"),
    [
        (detector("yolo8"), Columns(4)),
        (detector("rows"), Columns(4)),
        (detector("yolo5"), Columns(5, objectness=4)),
        (_shared(), Columns(5, objectness=4)),
    ],
)
@pytest.mark.parametrize("task", [None, "detection"])
def test_what_is_joined_tells_whether_there_is_objectness(
    proto: onnx.ModelProto, columns: Columns, task: str | None
) -> None:
    made = bt.explain(proto, PICTURES, task=task)
    assert made.layout.columns == columns


def _asked(folder: Path, proto: onnx.ModelProto, labels: list[str], *more: str) -> int:
    onnx.save(proto, folder / "d.onnx")
    np.save(folder / "x.npy", PICTURES[:1])
    sidecar = {"outputs": {"y": {"labels": labels}}}
    (folder / "d.sidecar.json").write_text(json.dumps(sidecar))
    return main(["explain", str(folder / "d.onnx"), str(folder / "x.npy"), "--json", *more])


@pytest.mark.parametrize("layout", ["yolo8", "rows", "yolo5", "shared"])
def test_labels_tell_which_columns_are_classes(layout: str, tmp_path: Path, capsys: Any) -> None:
    proto = _shared() if layout == "shared" else detector(layout)
    plain = ["a", "b", "c", "d"] if layout == "shared" else ["a", "b", "c"]  # shared: no objectness
    assert _asked(tmp_path, proto, plain, "--task", "detection") == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    y = bt.explain(proto, PICTURES[:1], task="regression").outputs["y"][0]
    y = y.T if layout == "yolo8" else y
    scores = y[:, -len(plain) :] * (y[:, 4:5] if layout == "yolo5" else 1)
    entry, label = np.unravel_index(scores.argmax(), scores.shape)
    assert sample["target"]["label"] == f"{plain[int(label)]}, box {entry}"


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("layout", ["yolo8", "rows", "yolo5", "shared"])
def test_labels_tell_the_same_in_python(layout: str, engine: Any, tmp_path: Path) -> None:
    """By a sidecar or by `labels`; what an argument says goes above the sidecar."""
    proto = _shared() if layout == "shared" else detector(layout)
    labels = ["a", "b", "c", "d"] if layout == "shared" else ["a", "b", "c"]
    meaning: dict[str, Any] = {"task": "detection", "labels": labels}
    sidecar = tmp_path / "d.sidecar.json"
    sidecar.write_text(json.dumps({"outputs": {"y": meaning}}))
    explainer = bt.Explainer(proto, engine=engine)
    wanted = Columns(5, objectness=4) if layout == "yolo5" else Columns(4)
    made = explainer.explain(PICTURES, sidecar=sidecar)
    assert made.layout.columns == wanted and made.task == "detection"
    assert any(f"as there are {len(labels)} labels" in note.text for note in made.notes)
    named = explainer.explain(PICTURES, labels=labels)
    assert named.layout.columns == wanted
    np.testing.assert_array_equal(named.relevance["x"], made.relevance["x"])
    own = explainer.explain(PICTURES, sidecar=sidecar, columns=Columns(5), class_axis=None)
    assert own.layout.columns == Columns(5)
    plain = explainer.explain(PICTURES, sidecar=sidecar, task="regression")
    assert plain.task == "regression" and plain.layout.columns is None
    with pytest.raises(bt.BacktraceError, match="there are 5 labels"):
        explainer.explain(PICTURES, task="detection", labels="abcde")


def test_a_sidecar_says_task_threshold_and_axes_in_python(tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2, 3])}, {"y": (FLOAT, [2, 3])}, {})
    x, sidecar = np.array([[1, 2, 3], [4, 5, 6]], np.float32), tmp_path / "m.sidecar.json"
    meaning = {"task": "segmentation", "threshold": 2.5, "sample_axis": "none"}
    sidecar.write_text(json.dumps({"outputs": {"y": meaning}}))
    made = bt.explain(proto, x, sidecar=sidecar)
    assert made.task == "segmentation" and made.layout.samples is None
    np.testing.assert_array_equal(made.relevance["x"], np.where(x > 2.5, x, 0))
    made = bt.explain(proto, x, sidecar=sidecar, threshold=4.5)
    np.testing.assert_array_equal(made.relevance["x"], np.where(x > 4.5, x, 0))
    start = np.ones((2, 3), np.float32)
    made = bt.explain(proto, x, sidecar=sidecar, start=start)
    np.testing.assert_array_equal(made.relevance["x"], start)


@pytest.mark.parametrize("task", [(), ("--task", "detection")])
def test_labels_that_fit_no_reading_are_refused(
    task: tuple[str, ...], tmp_path: Path, capsys: Any
) -> None:
    assert _asked(tmp_path, detector("rows"), list("abcde"), *task) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "d.sidecar.json: outputs.y.labels: there are 5 labels" in told and "7 columns" in told
    file = tmp_path / "c.onnx"
    assert main(["compile", str(tmp_path / "d.onnx"), "-o", str(file), *task]) != 0
    assert "outputs.y.labels" in " ".join(capsys.readouterr().err.split()) and not file.exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("task", [None, "detection"])
def test_the_score_is_explained_and_the_class_is_read(
    form: str, engine: Any, task: str | None
) -> None:
    x = PICTURES[:1] if form == "kept" else PICTURES
    explainer = bt.Explainer(end_to_end(form), engine=engine)
    made = explainer.explain(x, task=task)
    score, number = FORMS[form]
    assert made.task == "detection"
    assert made.layout.columns == Columns(score, score + 1, label=number)
    assert any(f"{score} the score, {number} the number" in str(note) for note in made.notes)
    y = np.asarray(made.outputs["y"])
    start = np.zeros_like(y)
    for k, own in enumerate(y[None] if form == "kept" else y):
        best = own[:, score].argmax()
        (start if form == "kept" else start[k])[best, score] = own[best, score]
    want = explainer.explain(x, start=start)
    np.testing.assert_allclose(made.relevance["x"], want.relevance["x"], rtol=1e-5, atol=1e-6)
    assert np.any(made.relevance["x"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_box_is_asked_for_by_number_and_class(form: str, engine: Any) -> None:
    x = PICTURES[:1]
    explainer = bt.Explainer(end_to_end(form), engine=engine)
    score, number = FORMS[form]
    y = np.asarray(explainer.explain(x).outputs["y"]).reshape(-1, 7 if form == "kept" else 6)
    label = int(y[2, number])
    of_class = y[:, number] == label
    best = int(np.where(of_class, y[:, score], -1).argmax())
    for target, entry in (((2, label), 2), ((2, -1), 2), (2, 2), ((-1, label), best)):
        made = explainer.explain(x, target=target)
        assert made.target is not None and int(made.target[0]) == entry * y.shape[1] + score
    with pytest.raises(bt.RequestError, match=f"entry 2 is of class {label}"):
        explainer.explain(x, target=(2, (label + 1) % CLASSES))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_compiled_files_explain_the_score(form: str, mode: str, tmp_path: Path) -> None:
    explainer = bt.Explainer(end_to_end(form))
    explainer.compile(tmp_path / "m.onnx", mode=mode)
    session = ort.InferenceSession(tmp_path / "m.onnx", quiet_options())
    x = PICTURES[:1]
    y = np.asarray(explainer.explain(x).outputs["y"]).reshape(-1, 7 if form == "kept" else 6)
    label = int(y[1, FORMS[form][1]])
    for target in (None, (1, -1), (1, label), (-1, label)):
        feeds = {"x": x} | ({} if target is None else {"target": np.array([target])})
        found = session.run(["relevance/x"], feeds)[0]
        want = explainer.explain(x, mode=mode, target=target).relevance["x"]
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    wrong = {"x": x, "target": np.array([[1, (label + 1) % CLASSES]])}
    with pytest.raises(InvalidArgument, match="target_in_range"):
        session.run(["relevance/x"], wrong)


def test_reports_call_a_box_by_the_number_it_holds(tmp_path: Path, capsys: Any) -> None:
    proto = end_to_end("all")
    assert _asked(tmp_path, proto, ["a", "b", "c"], "--boxes", "2") == 0
    first, second = json.loads(capsys.readouterr().out)["samples"]
    y = np.asarray(bt.explain(proto, PICTURES[:1]).outputs["y"])[0]
    best = int(y[:, 4].argmax())
    assert first["target"]["label"] == f"{'abc'[int(y[best, 5])]}, box {best}"
    assert first["target"]["value"] == pytest.approx(y[best, 4])
    assert second["target"]["label"] != first["target"]["label"]


@pytest.mark.parametrize("form", FORMS)
def test_coordinates_beside_a_number_are_corners(form: str) -> None:
    read = bt.Explainer(end_to_end(form)).entries(PICTURES[:1])
    assert read is not None
    assert any("left, top, right, bottom" in str(note) for note in read.notes)
    first = 1 if form == "kept" else 0
    for found in read.found(0, 3):
        np.testing.assert_allclose(found.corners, read.grids[0][found.entry, first : first + 4])


def test_boxes_without_scores_are_no_detector_s_answer() -> None:
    explainer = bt.Explainer(detector("apart"))
    with pytest.raises(bt.RequestError, match=r"'boxes'.*'scores'.*columns="):
        explainer.explain(PICTURES, task="detection", output="boxes")
    made = explainer.explain(PICTURES, task="detection", output="boxes", columns=Columns())
    assert made.layout.columns == Columns()


@pytest.mark.parametrize("layout", ["yolo8", "rows", "yolo5", "apart"])
@pytest.mark.parametrize("target", [(13, 2), 13])
def test_a_box_is_asked_for_without_a_task(
    layout: str, target: Any, tmp_path: Path, capsys: Any
) -> None:
    x = PICTURES[:1]
    explainer = bt.Explainer(detector(layout))
    want = explainer.explain(x, task="detection", target=target)
    made = explainer.explain(x, target=target)
    assert made.task == "detection"
    np.testing.assert_array_equal(made.relevance["x"], want.relevance["x"])
    explainer.compile(tmp_path / "m.onnx", target=target)
    onnx.save(detector(layout), tmp_path / "d.onnx")
    words = "13,2" if isinstance(target, tuple) else "13"
    asked = ["compile", str(tmp_path / "d.onnx"), "-o", str(tmp_path / "n.onnx")]
    assert main([*asked, "--target", words, "--mode", "default"]) == 0
    capsys.readouterr()
    for file in ("m.onnx", "n.onnx"):
        session = ort.InferenceSession(tmp_path / file)
        found = session.run(["relevance/x"], {"x": x})[0]
        np.testing.assert_allclose(found, want.relevance["x"], rtol=1e-4, atol=1e-5)


def test_a_pair_that_fits_no_output_names_the_task() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["N", 5, 30])},
        {"y": (FLOAT, ["N", 5, 7])},
        {"w": normal(30, 7)},
    )
    with pytest.raises(bt.RequestError, match="task='detection'"):
        bt.explain(proto, normal(1, 5, 30), target=(13, 2))
