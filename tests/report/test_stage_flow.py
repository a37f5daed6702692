"""The rows of the picture of how relevance flows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from backtrace_onnx.commands.explain import explained
from backtrace_onnx.commands.explain_options import ExplainOptions
from backtrace_onnx.propagation.ledger import Balance, Ledger
from backtrace_onnx.report.console import Waiting
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.flow_picture import draw
from backtrace_onnx.report.page.flow_view import flow_view
from backtrace_onnx.report.picture_style import styled
from backtrace_onnx.report.stage_flow import flow, half, idle, input_rows, seat_of
from backtrace_onnx.report.stages import Flow, NetworkStage
from tests.detectors import PICTURES, detector
from tests.report.made import explanation

MODELS = Path(__file__).parents[2] / "models"


def test_rows_add_up_and_end_at_the_inputs() -> None:
    rows = flow(ExplainedSample(explanation({"x": np.ones((1, 2))}, nodes=7)))
    assert [row.name for row in rows] == ["the answer", *(f"node{i}" for i in range(7))]
    before = 1.0
    for row in rows[1:]:
        assert before == pytest.approx(row.left[0] + row.biases[0] + row.lost[0])
        before = row.left[0]
    assert rows[-1].left[0] == pytest.approx(0.7)
    assert sum(row.biases[0] for row in rows) == pytest.approx(0.2)
    assert sum(row.lost[0] for row in rows) == pytest.approx(0.1)


def test_a_side_that_nothing_starts_on_has_no_bars() -> None:
    made = explanation({"x": np.ones((1, 2))}, against={"x": np.zeros((1, 2))}, nodes=2)
    one = np.array([[1.0], [0.0]])
    total = Balance(one, one * 0.7, one * 0.2, one * 0.1)
    entries = {
        n: replace(e, constants=0.1 * one, unassigned=0 * one) for n, e in made.ledger.items()
    }
    rows = flow(ExplainedSample(replace(made, ledger=Ledger(entries, total))))
    assert [row.left for row in rows] == [(1.0, 0.0), (0.9, 0.0), (0.8, 0.0)]


def test_inputs_tell_what_speaks_for_and_against() -> None:
    relevance = {
        "x": np.array([[3.0, -1.0]]),
        "z": np.array([[0.5, 0.0]]),
        "zero": np.zeros((1, 2)),
    }
    rows = input_rows(
        ExplainedSample(explanation({n: np.ones((1, 2)) for n in relevance}, relevance))
    )
    assert [(row.name, row.left) for row in rows] == [("x", (3.0, 1.0)), ("z", (0.5,))]


@pytest.mark.parametrize(
    ("shape", "seat"),
    [
        ((), (1, 1)),
        ((6,), (1, 6)),
        ((1000,), (1, 120)),
        ((5, 7), (1, 5)),  # tokens by features
        ((4, 9, 11), (9, 11)),
        ((9, 9, 4), (9, 9)),
        ((2, 200, 300), (48, 48)),
        ((2, 3, 9, 11), (9, 11)),
    ],
)
def test_the_seat_keeps_the_sum(shape: tuple[int, ...], seat: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    found = seat_of(values)
    assert found.shape == seat and found.sum() == pytest.approx(values.sum())


def test_half_of_it_in_words() -> None:
    values = np.zeros((3, 4, 5))
    values[0, 1, 1], values[0, 2, 2], values[1, 0, 0] = 5, -4, 2
    assert half(values) == "2 of 20 places\n1 of 3 channels"
    assert half(np.array([1.0, 8.0, 1.0])) == "1 of 3 entries"
    assert half(np.zeros(3)) == "0 of 3 entries"
    assert half(values[0]) == "1 of 4 rows\n1 of 5 columns"  # who knows which are channels
    assert half(values[0], 5) == "1 of 5 entries\n1 of 4 channels"
    assert half(values[0], 4) == "1 of 4 entries\n1 of 5 channels"
    assert seat_of(values[0], 5).shape == (1, 5) and seat_of(values[0]).shape == (1, 4)


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_a_branch_that_carries_nothing_has_no_bar(mode: str, tmp_path: Path) -> None:
    onnx.save(detector("yolo8"), tmp_path / "d.onnx")
    np.save(tmp_path / "x.npy", PICTURES[:1])
    asked = ExplainOptions(tmp_path / "d.onnx", [str(tmp_path / "x.npy")], mode=mode, pictures=True)
    (subject,) = explained(asked, Waiting(""))
    rows = flow(subject)
    assert [row.name for row in rows] == ["the answer", "y", "s", "s4", "classes"]
    assert idle(subject) == ["b", "boxes"]
    ways = ["3 x 16", "3 x 4 x 4", "3 x 4 x 4", "3 x 16 x 16"]  # labels tell of what is mapped
    assert [row.detail for row in rows[1:]] == [f"hands it to {shape}" for shape in ways]
    assert [row.seat.shape for row in rows[1:] if row.seat is not None] == [
        (1, 16),
        (4, 4),
        (4, 4),
        (16, 16),
    ]
    assert rows[1].held.startswith("1 of 16 entries")
    with styled():
        axis = draw(subject).axes[0]
    assert axis.get_xlabel() == "nothing flows through b, boxes"


def test_a_map_of_one_of_several_tensors_says_how_much_it_has() -> None:
    kept = {"a": np.array([[3.0, 0.0]]), "b": np.array([[1.0]]), "c": np.zeros((1, 2))}
    made = explanation({"x": np.ones((1, 2))}, nodes=2)
    stages = (
        NetworkStage("node0", "", ("node0",), ("a", "b", "c")),
        NetworkStage("node1", "", ("node1",), ("b",), ("a",)),
    )
    rows = flow(ExplainedSample(made, flow=Flow(stages, kept)))
    assert rows[1].detail == "hands it to 2" and rows[1].held.endswith("(this has 75% of it)")
    assert rows[2].detail == "hands it to 1" and "this has" not in rows[2].held


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_a_network_is_drawn_by_its_modules(mode: str) -> None:
    asked = ExplainOptions(
        MODELS / "mnist_cnn.onnx",
        [str(MODELS / "samples" / "digit_2.png")],
        mode=mode,
        pictures=True,
    )
    (subject,) = explained(asked, Waiting(""))
    rows = flow(subject)
    assert [row.name for row in rows[:3]] == ["the answer", "fc2 … relu3", "fc1"]
    assert rows[-1].name == "conv1" and all(row.seat is not None for row in rows[1:])
    assert set(subject.explanation.relevance) == {"image"}  # what was kept for this stays apart
    total = subject.explanation.ledger.total()
    if mode == "default":
        assert rows[-1].left[0] == pytest.approx(float(total.inputs[0, 0] / total.start[0, 0]))
    if (
        mode == "epsilon(absolute=1e-6)"
    ):  # what is positive minus what is negative is all that is there
        signed = rows[-1].left
        assert signed[0] - signed[1] == pytest.approx(float(total.inputs[0, 0] / total.start[0, 0]))
    with styled():
        title = draw(subject).get_suptitle()
    assert title.startswith("From the answer 2 (") and "arrives at the input" in " ".join(
        title.split()
    )


def test_who_takes_most_is_named() -> None:
    made = explanation({"x": np.ones((1, 2))}, nodes=1)
    with styled():
        title = " ".join(draw(ExplainedSample(made)).get_suptitle().split())
    assert title.endswith("70% of the relevance arrives at the input; most is taken in node0")
    lossless = replace(made, ledger=type(made.ledger)({}, made.ledger.total()))
    with styled():
        assert "most is taken" not in draw(ExplainedSample(lossless)).get_suptitle()


@pytest.mark.parametrize("times", [0.4, 21.0, 1234.0])
def test_numbers_behind_bars_keep_clear_of_the_names(times: float) -> None:
    relevance = {"x": np.array([[times, -times]])}
    subject = ExplainedSample(explanation({"x": np.ones((1, 2))}, relevance, nodes=2))
    stages = [NetworkStage(f"node{i}", "makes 128 x 28 x 28", (f"node{i}",), ()) for i in (0, 1)]
    with styled():
        figure = draw(replace(subject, flow=Flow(tuple(stages))))
        figure.canvas.draw()
        axis = figure.axes[0]
        names = max(label.get_window_extent().x1 for label in axis.get_yticklabels())
        numbers = [text.get_window_extent() for text in axis.texts]
        assert len(numbers) == 5
        assert min(box.x0 for box in numbers) > names
        assert max(box.x1 for box in numbers) < figure.axes[1].get_window_extent().x0


@pytest.mark.parametrize(("times", "cut"), [(1.5, False), (2.6, True)])
def test_bars_that_are_cut_are_marked(times: float, cut: bool) -> None:
    """Of relevance whose positive part is `times` twice the start: 400 % are drawn."""
    relevance = {"x": np.array([[2 * times, 1 - 2 * times]])}
    subject = ExplainedSample(explanation({"x": np.ones((1, 2))}, relevance, nodes=1))
    with styled():
        strokes = [line for line in draw(subject).axes[0].lines if len(line.get_xdata()) == 2]
    assert (len([line for line in strokes if line.get_color() == "white"]) > 0) is cut
    view = flow_view(subject)
    assert view is not None and view.cut is cut
    gaps = [p for stage in view.stages for p in stage.pieces if p.kind == "gap"]
    assert bool(gaps) is cut and all(0 < p.x < 1000 for p in gaps)
