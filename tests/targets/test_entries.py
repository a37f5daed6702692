"""Boxes and steps: which entry is explained, and that only its own classes speak against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

import backtrace_onnx as bt
from backtrace_onnx import Columns
from backtrace_onnx.targets.boxes import Boxes
from backtrace_onnx.targets.entries import as_grid, entry_of, flat_entry
from tests.detectors import CLASSES, LAYOUTS, PICTURES, detector
from tests.graphs import FLOAT, model, node, normal
from tests.targets.entry_models import MODES, quiet_options, speller

FIRST = {"yolo8": 4, "rows": 4, "yolo5": 5, "apart": 0}


COLUMNS = {
    "yolo8": None,
    "rows": Columns(4),  # five columns and more, entries first: taken for objectness otherwise
    "yolo5": None,
    "apart": None,
}


def _grid(layout: str, y: Any) -> Any:
    """[samples, entries, columns] of the explained output."""
    return y.swapaxes(1, 2) if layout == "yolo8" else y


def _best(layout: str, y: Any) -> list[tuple[int, int]]:
    grid = _grid(layout, y)
    scores = grid[..., FIRST[layout] :]
    if layout == "yolo5":
        scores = scores * grid[..., 4:5]
    return [np.unravel_index(s.argmax(), s.shape) for s in scores]  # type: ignore[misc]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", [None, (5, 1), 7, [[3, 2], [5, -1]]])
def test_the_start_is_a_box_s_class_against_its_other_classes(
    layout: str, mode: str, target: Any
) -> None:
    proto = detector(layout)
    explainer = bt.Explainer(proto)
    made = explainer.explain(
        PICTURES, mode=mode, task="detection", target=target, columns=COLUMNS[layout]
    )
    y = made.outputs[made.output]
    first, grid = FIRST[layout], _grid(layout, y)
    own = grid[..., first:] * (grid[..., 4:5] if layout == "yolo5" else 1)
    asked = {
        "None": _best(layout, y),
        "(5, 1)": [(5, 1)] * 2,
        "7": [(7, int(own[k, 7].argmax())) for k in range(2)],
        "[[3, 2], [5, -1]]": [(3, 2), (5, int(own[1, 5].argmax()))],
    }[str(target)]
    good, bad = np.zeros_like(y), np.zeros_like(y)
    for k, (entry, label) in enumerate(asked):
        of, on, against = (_grid(layout, part)[k, entry] for part in (y, good, bad))
        against[first:] = of[first:]
        on[first + label], against[first + label] = of[first + label], 0
    turned = y < 0.5  # classes are sigmoids of scores, of which the negative ones turn
    pair = np.where(turned, bad, good), np.where(turned, good, bad)
    start = pair if mode == "contrastive" else np.abs(good)
    want = explainer.explain(PICTURES, mode=mode, output=made.output, start=start)
    np.testing.assert_allclose(made.relevance["x"], want.relevance["x"], rtol=1e-5, atol=1e-6)
    compiled = bt.Explainer(proto, engine="onnxruntime").explain(
        PICTURES, mode=mode, task="detection", target=target, columns=COLUMNS[layout]
    )
    np.testing.assert_allclose(compiled.relevance["x"], made.relevance["x"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(compiled.target, made.target)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pairs", [None, [[5, 1]], [[-1, -1], [2, -1]], [[-1, 0], [9, 2]]])
def test_compiled_files_take_boxes(layout: str, mode: str, pairs: Any, tmp_path: Path) -> None:
    options: Any = {"mode": mode, "task": "detection", "columns": COLUMNS[layout]}
    explainer = bt.Explainer(detector(layout))
    explainer.compile(tmp_path / "m.onnx", **options)
    session = ort.InferenceSession(tmp_path / "m.onnx", quiet_options())
    feeds = {"x": PICTURES} | ({} if pairs is None else {"target": np.array(pairs)})
    found = session.run(["relevance/x"], feeds)[0]
    want = explainer.explain(PICTURES, target=pairs, **options).relevance["x"]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def test_a_compiled_file_refuses_a_box_that_is_not_there(tmp_path: Path) -> None:
    bt.compile(detector("yolo8"), tmp_path / "m.onnx", task="detection")
    session = ort.InferenceSession(tmp_path / "m.onnx", quiet_options())
    for pair in ([99, 0], [0, CLASSES]):
        with pytest.raises(InvalidArgument, match="target_in_range"):
            session.run(["relevance/x"], {"x": PICTURES, "target": np.array([pair])})


@pytest.mark.parametrize("layout", ["yolo8", "apart"])
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_detectors_are_recognised_and_it_is_said(layout: str, engine: Any) -> None:
    made = bt.Explainer(detector(layout), engine=engine).explain(PICTURES)
    assert made.task == "detection"
    assert made.output == ("scores" if layout == "apart" else "y")
    assert any("explained as a detector's" in str(note) for note in made.notes)
    assert made.target is not None
    shape = made.outputs[made.output].shape[1:]
    axis = 0 if layout == "yolo8" else 1
    pairs = [entry_of(shape, axis, int(flat)) for flat in made.target]
    best = _best(layout, made.outputs[made.output])
    assert pairs == [(int(e), int(c) + FIRST[layout]) for e, c in best]


@pytest.mark.parametrize("steps_first", [False, True])
@pytest.mark.parametrize("softmax", [False, True])
def test_what_is_no_detector_stays_a_classification(steps_first: bool, softmax: bool) -> None:
    """Nor is the axis of samples behind the steps taken for a detector's classes."""
    small = bt.explain(speller(steps_first, softmax), normal(2, 3, 8, 12))
    assert small.task == "classification" and len(small.target) == 2
    assert not any("detector" in str(note) for note in small.notes)


def test_the_background_is_never_the_best_but_speaks_against() -> None:
    options: Any = {"task": "detection", "columns": Columns(4, background=0)}
    made = bt.explain(detector("yolo8"), PICTURES, mode="contrastive", **options)
    assert made.target is not None
    for k, flat in enumerate(made.target):
        y = made.outputs["y"][k]
        _, column = entry_of(y.shape, 0, int(flat))
        assert column - 4 == 1 + np.unravel_index(y[5:].argmax(), y[5:].shape)[0]
    start = made.ledger.total().start
    grids = [as_grid(y, 0) for y in made.outputs["y"]]
    for k, flat in enumerate(made.target):
        entry, column = entry_of(made.outputs["y"].shape[1:], 0, int(flat))
        row = grids[k][entry]
        against = np.arange(len(row)) != column
        against = (against != (row < 0.5))[4:]  # a negative score starts the opposite channel
        assert start[1, k] == pytest.approx(row[4:][against].sum(), rel=1e-5)
        assert start[:, k].sum() == pytest.approx(row[4:].sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ((16, 0), "out of range"),
        ((0, 3), "out of range"),
        ((-2, 0), "out of range"),
        ((1, 2, 3), "target is a box"),
        (1.5, "target is a box"),
        ([[1, 2], [3]], "target is a box"),
        ([[1, 2]] * 3, "target is a box"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(target: Any, words: str) -> None:
    with pytest.raises(bt.RequestError, match=words):
        bt.explain(detector("yolo8"), PICTURES, task="detection", target=target)


@pytest.mark.parametrize("columns", [Columns(7), Columns(3, 2), Columns(0, 9), Columns(4, None, 9)])
def test_columns_that_do_not_fit_are_refused(columns: Columns) -> None:
    with pytest.raises(bt.RequestError, match="columns"):
        bt.explain(detector("yolo8"), PICTURES, task="detection", columns=columns)


def test_an_output_without_entries_is_no_detector_s(tmp_path: Path) -> None:
    flat = model([node("Flatten", ["x"], ["y"])], {"x": (FLOAT, [1, 4])}, {"y": (FLOAT, [1, 4])})
    for call in (
        lambda: bt.explain(flat, normal(1, 4), task="detection"),
        lambda: bt.compile(flat, tmp_path / "m.onnx", task="ctc"),
    ):
        with pytest.raises(bt.RequestError, match="no axis of entries"):
            call()


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (3, 2, 2)])
def test_entries_and_places_are_each_other_s_inverse(shape: tuple[int, ...]) -> None:
    for axis in range(len(shape)):
        grid = as_grid(np.arange(np.prod(shape)).reshape(shape), axis)
        for entry, row in enumerate(grid):
            for column, flat in enumerate(row):
                assert flat_entry(shape, axis, entry, column) == flat
                assert entry_of(shape, axis, int(flat)) == (entry, column)


def _proposer() -> onnx.ModelProto:
    """A picture -> offsets[N, 4, h, w] and probabilities[N, 2, h, w], as MTCNN's P-Net."""
    nodes = [
        node("Conv", ["x", "wo"], ["offsets"], "boxes", strides=[2, 2]),
        node("Conv", ["x", "wp"], ["logits"], "faces", strides=[2, 2]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = {"wo": normal(4, 3, 4, 4, seed=1), "wp": normal(2, 3, 4, 4, seed=2)}
    outputs: Any = {
        "offsets": (FLOAT, ["N", 4, "h", "w"]),
        "probabilities": (FLOAT, ["N", 2, "h", "w"]),
    }
    return model(nodes, {"x": (FLOAT, ["N", 3, "H", "W"])}, outputs, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_grid_of_proposals_is_a_detector_s(engine: Any) -> None:
    x = normal(2, 3, 12, 16, seed=9)
    explainer = bt.Explainer(_proposer(), engine=engine)
    made = explainer.explain(x, mode="contrastive")
    assert (made.task, made.output) == ("detection", "probabilities")
    assert made.target is not None
    y = made.outputs["probabilities"]
    for k, flat in enumerate(made.target):
        entry, column = entry_of(y.shape[1:], 0, int(flat))
        assert column == 1 and entry == y[k, 1].argmax()
        start = made.ledger.total().start[:, k]
        np.testing.assert_allclose(start, [y[k, 1].max(), 1 - y[k, 1].max()], atol=1e-6)
    boxes = Boxes("offsets", format="offsets", stride=2, cell=12)
    read = explainer.entries(x, boxes=boxes)
    assert read is not None
    row, column = divmod(int(y[1, 1].argmax()), y.shape[3])
    offsets = made.outputs["offsets"][1, :, row, column]
    corner = np.array([2 * column, 2 * row, 2 * column + 12, 2 * row + 12])
    found = read.found(1, 1)[0]
    assert found.corners is not None
    np.testing.assert_allclose(found.corners, corner + 12 * offsets, rtol=1e-5)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_scores_are_small_beside_scores_not_beside_coordinates(engine: Any) -> None:
    proto = detector("yolo8")
    wide = {"bb": np.full(4, 640), "bc": np.array([-1, -12, -2])}
    for w in proto.graph.initializer:
        if w.name in wide:
            w.CopyFrom(onnx.numpy_helper.from_array(wide[w.name].astype(np.float32), w.name))
    explainer = bt.Explainer(proto, engine=engine)
    fair, faint = (explainer.explain(PICTURES, target=(3, label)) for label in (0, 1))
    assert not any("thousandth" in note.text for note in fair.notes)
    most = faint.outputs["y"][:, 4:].max((1, 2))
    said = [note.text for note in faint.notes if "thousandth" in note.text]
    assert [text.rpartition(" ")[2] for text in said] == [f"{score:.3g}" for score in most]
