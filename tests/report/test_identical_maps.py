"""Maps that are the same are said to be, maps without meaning too, and classes get their names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.cli import main
from backtrace_onnx.commands.report_folder import write_folder
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.headlines import answered
from backtrace_onnx.report.identical_maps import find_same_maps, find_same_pictures
from backtrace_onnx.report.pictures import plot_relevance
from tests.report.made import explanation

MODELS = Path(__file__).parents[2] / "models"


def batch(relevance: Any, inputs: Any = None) -> list[ExplainedSample]:
    values = np.array(relevance, np.float32)
    x = np.ones_like(values) if inputs is None else np.array(inputs, np.float32)
    made = explanation({"x": x}, {"x": values}, samples=len(values))
    return [ExplainedSample(made, sample) for sample in range(len(values))]


def test_only_maps_that_are_equal_to_the_last_bit_are_twins() -> None:
    one = np.float32(1)
    almost = np.nextafter(one, np.float32(2))
    subjects = batch([[1, 0, 2], [almost, 0, 2], [1, 0, 2], [almost, 0, 2]])
    assert find_same_maps(subjects) == [None, None, 0, 1]


def test_the_same_relevance_of_other_inputs_is_no_twin() -> None:
    assert find_same_maps(batch([[1, 0], [1, 0]], [[1, 2], [2, 1]])) == [None, None]


def test_twins_are_told_and_not_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digit = str(MODELS / "samples" / "digit_2.png")
    asked = ["explain", str(MODELS / "mnist_cnn.onnx"), digit, digit]
    assert main([*asked, "--mode", "lrp", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("where relevance went") == 1
    assert "the same relevance as sample 1, bit for bit" in printed
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"report.json", "explanation.npz", "relevance_1.png", "layers_1.png"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [sample["same_as"] for sample in report["samples"]] == [None, 0]


def test_a_warning_is_the_first_line_after_the_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = str(MODELS / "samples" / "page_90.png")
    asked = ["explain", str(MODELS / "orientation.onnx"), page]
    assert main([*asked, "--mode", "default"]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == "page_90.png: 90 (92.3%)"
    assert second.startswith("warning: only 0.0065% of the relevance reached the inputs")
    assert "use mode contrastive" in second
    assert main([*asked, "--mode", "default", "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["notes"][0] == second.removeprefix("warning: ")
    assert main([*asked, "--mode", "contrastive"]) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_picture_without_meaning_says_so_and_is_pale(tmp_path: Path) -> None:
    made = explanation({"x": np.ones((1, 1, 9, 9))})
    warned = replace(made, notes=(Note("a note"), Note("it says nothing", None, True)))
    plot_relevance(ExplainedSample(made), tmp_path / "full.svg")
    plot_relevance(ExplainedSample(warned), tmp_path / "empty.svg")
    full, empty = ((tmp_path / f"{name}.svg").read_text() for name in ("full", "empty"))
    assert "<!-- it says nothing -->" in empty and "a note" not in empty
    assert "it says nothing" not in full and len(full) != len(empty)


def named(output: Any, labels: tuple[str, ...], task: str) -> ExplainedSample:
    made = explanation({"x": np.ones((1, 2))}, output=np.array(output), task=task)
    return ExplainedSample(made, sidecar=Sidecar(Path("s"), {}, {"y": OutputMeaning(task, labels)}))


@pytest.mark.parametrize(
    ("output", "labels", "task", "words"),
    [
        ([[1.5, -2.0]], ("price", "rent"), "regression", "price = 1.5, rent = -2"),
        ([[1.5, -2.0]], (), "regression", "y = 1.5, -2"),
        (
            [[[0.9, 0.9], [0.1, 0.8]]],
            ("road", "car"),
            "segmentation",
            "3 of 4 entries over 0.5 (75.0%): road 2, car 1",
        ),
        ([[[0.9, 0.1]]], ("road", "car"), "segmentation", "1 of 2 entries over 0.5 (50.0%)"),
    ],
)
def test_entries_are_called_by_the_sidecars_words(
    output: Any, labels: tuple[str, ...], task: str, words: str
) -> None:
    assert answered(named(output, labels, task)) == words


def test_one_entry_of_a_regression_is_called_by_its_name() -> None:
    subject = named([[1.5, -2.0]], ("price", "rent"), "regression")
    chosen = replace(subject.explanation, target=np.array([1]))
    assert answered(replace(subject, explanation=chosen)) == "rent = -2"
    bare = replace(subject, explanation=chosen, sidecar=None)
    assert answered(bare) == "y[1] = -2"


def test_pictures_are_shared_only_where_all_they_show_is_the_same() -> None:
    first, second, third = batch([[1, 0], [1, 0], [1, 0]])
    assert find_same_pictures([first, second, third]) == [None, 0, 0]
    moved = replace(second, box=(0, 0, 2, 2))
    assert find_same_maps([first, moved, third]) == [None, 0, 0]
    assert find_same_pictures([first, moved, third]) == [None, None, 0]
    target = replace(first.explanation, target=np.array([0, 1, 0]))
    asked = [replace(subject, explanation=target) for subject in (first, second, third)]
    assert find_same_maps(asked) == [None, 0, 0] and find_same_pictures(asked) == [None, None, 0]
    unsure = replace(first.explanation, notes=(Note("it says nothing", 1, warning=True),))
    warned = [replace(subject, explanation=unsure) for subject in (first, second, third)]
    assert find_same_pictures(warned) == [None, None, 0]


def test_every_box_has_a_picture_of_its_own_box(tmp_path: Path) -> None:
    first, second = batch([[1, 0], [1, 0]])
    boxed = [replace(first, box=(0, 0, 1, 1)), replace(second, box=(1, 0, 2, 1))]
    write_folder("m", boxed, tmp_path / "out", top=3, progress=lambda done, of: None)
    assert {"relevance_1.png", "relevance_2.png"} <= {f.name for f in (tmp_path / "out").iterdir()}
