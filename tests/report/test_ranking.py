"""Which parts of inputs are named, and what they add up to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import Feature, TableInput
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_parts import InputPart, edges
from backtrace_onnx.report.printed_report import print_samples
from backtrace_onnx.report.ranking import rank, with_relevance
from tests.report.made import explanation

TABLE = TableInput((Feature("age", 40.0, 10.0), Feature("job", categories=("a", "b", "c"))))


def test_one_hot_slots_are_summed_to_their_column() -> None:
    slots = {"x": np.array([[0.2, 0.0, 1.0, 0.0]])}
    made = explanation(slots, {"x": np.array([[0.1, 0.2, 0.3, -0.1]])})
    first, second = rank(ExplainedSample(made, sidecar=Sidecar(Path("s"), {"x": TABLE})))
    assert (str(first), str(second)) == ("job = b", "age = 42")
    assert (first.relevance, second.relevance) == pytest.approx((0.4, 0.1))
    assert (first.share, second.share) == pytest.approx((0.8, 0.2))


def test_what_got_nothing_has_no_rank(capsys: pytest.CaptureFixture[str]) -> None:
    relevance = np.zeros((1, 1, 64, 64))
    relevance[0, 0, 20, 40], relevance[0, 0, 50, 9] = -2.0, 1.0
    subject = ExplainedSample(explanation({"x": np.zeros((1, 1, 64, 64))}, {"x": relevance}))
    assert [p.relevance for p in with_relevance(rank(subject))] == [-2.0, 1.0]
    print_samples(Console(width=120), [subject], top=10, files=[])
    told = capsys.readouterr().out
    assert told.count("columns ") == 2 and "The rest got nothing." in told
    whole = ExplainedSample(
        explanation({"x": np.zeros((1, 3))}, {"x": np.array([[1.0, 2.0, 3.0]])})
    )
    print_samples(Console(width=120), [whole], top=2, files=[])
    told = capsys.readouterr().out
    assert "... and 1 more" in told and "got nothing" not in told
    at = (0, 0, 2, 2)
    cancelled = InputPart(
        "x", "x[0]", 0.0, (1.0, 1.0), box=at
    )  # what speaks for and against it is something
    assert with_relevance([cancelled, InputPart("x", "x[1]", 0.0, (0.0, 0.0), box=at)]) == [
        cancelled
    ]
    column = InputPart("x", "age", 0.0, (0.0, 0.0))  # that it got nothing is an answer
    assert with_relevance([cancelled, column]) == [cancelled, column]


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 37, 50), (1, 40, 24, 3)])
def test_regions_cover_a_picture_once(shape: tuple[int, ...]) -> None:
    made = explanation({"x": np.zeros(shape)})
    parts = rank(ExplainedSample(made))
    assert sum(part.relevance for part in parts) == pytest.approx(made.relevance["x"].sum())
    seen = np.zeros((50, 50), int)
    for part in parts:
        assert part.box is not None
        top, left, bottom, right = part.box
        seen[top:bottom, left:right] += 1
    height, width = shape[1:3] if shape[-1] == 3 else shape[2:]
    assert (seen[:height, :width] == 1).all() and seen.sum() == height * width


def test_a_region_is_called_by_its_rows_and_columns() -> None:
    relevance = np.zeros((1, 1, 64, 64))
    relevance[0, 0, 20, 40] = -2.0
    (largest, *_) = rank(ExplainedSample(explanation({"x": relevance}, {"x": relevance})))
    assert largest.name == "rows 16-24, columns 40-48"
    assert largest.relevance == -2.0


def test_rows_of_tokens_are_summed() -> None:
    relevance = np.arange(12.0).reshape(1, 3, 4)
    parts = rank(ExplainedSample(explanation({"x": relevance}, {"x": relevance})))
    assert [part.name for part in parts] == ["x[2, :]", "x[1, :]", "x[0, :]"]
    assert parts[0].relevance == 8 + 9 + 10 + 11


def test_parts_of_all_inputs_are_ranked_together() -> None:
    arrays = {"a": np.array([[1.0, 5.0]]), "b": np.array([[-3.0]])}
    parts = rank(ExplainedSample(explanation(arrays, arrays)))
    assert [(p.input, p.relevance) for p in parts] == [("a", 5.0), ("b", -3.0), ("a", 1.0)]


def test_each_sample_has_its_own_parts() -> None:
    arrays = {"a": np.array([[1.0], [2.0]])}
    made = explanation(arrays, arrays, samples=2)
    assert [rank(ExplainedSample(made, sample))[0].relevance for sample in (0, 1)] == [1.0, 2.0]


@pytest.mark.parametrize("size", [1, 5, 8, 13, 28, 224, 1000])
def test_edges_span_an_axis(size: int) -> None:
    borders = edges(size)
    assert borders[0] == 0 and borders[-1] == size
    assert all(a < b for a, b in pairwise(borders))
