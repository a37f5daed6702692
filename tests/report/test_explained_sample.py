"""The answer: labels, probabilities, masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.report.answers import percent, predicted_answer
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.headlines import answered
from backtrace_onnx.report.json_report import record
from tests.report.made import Array, explanation

X = {"x": np.ones((1, 2))}


def subject(y: Array, meaning: OutputMeaning | None = None, target: int = 2) -> ExplainedSample:
    sidecar = Sidecar(Path("m.sidecar.json"), {}, {"y": meaning} if meaning else {})
    return ExplainedSample(explanation(X, output=y, target=target), sidecar=sidecar)


def test_logits_of_a_classification_get_probabilities() -> None:
    meaning = OutputMeaning("classification", ("a", "b", "c"))
    answer = predicted_answer(subject(np.array([[0.0, 0.0, np.log(2)]]), meaning))
    assert answer is not None and answer.label == "c"
    assert answer.probability == pytest.approx(0.5)


def test_a_distribution_stays_as_it_is() -> None:
    answer = predicted_answer(subject(np.array([[0.1, 0.7, 0.2]]), OutputMeaning("classification")))
    assert answer is not None and answer.probability == pytest.approx(0.7)


def test_a_sample_shows_the_notes_about_it() -> None:
    notes = (Note("all"), Note("own", sample=1), Note("all"), Note("other", sample=0))
    made = replace(explanation(X, output=np.array([[1.0, 2.0, 3.0]])), notes=notes)
    shown = ExplainedSample(made, sample=1)
    assert shown.notes == ["all", "own"]
    assert record("m.onnx", [ExplainedSample(made)])["samples"][0]["notes"] == ["all", "other"]


def test_nobody_said_that_these_are_logits() -> None:
    answer = predicted_answer(subject(np.array([[1.0, 7.0, 2.0]])))
    assert answer is not None and answer.probability is None


def test_another_target_than_the_prediction_is_told() -> None:
    labelled = OutputMeaning("classification", ("cat", "dog", "cow"))
    assert answered(subject(np.array([[0.2, 0.5, 0.3]]), labelled, target=0)) == (
        "dog (50.0%); explained: cat (20.0%)"
    )


def test_labels_that_do_not_fit_the_output_are_an_error() -> None:
    with pytest.raises(InputError, match=r"outputs\.y\.labels: there are 2, but .* 3 entries"):
        predicted_answer(subject(np.array([[1.0, 2.0, 3.0]]), OutputMeaning(labels=("a", "b"))))


def test_a_segmentation_has_a_mask_and_no_prediction() -> None:
    y = np.zeros((1, 1, 4, 4))
    y[0, 0, :2, :2] = 0.4
    made = explanation({"x": np.ones((1, 1, 8, 8))}, output=y, task="segmentation")
    assert ExplainedSample(made, threshold=0.5).mask is not None
    mask = ExplainedSample(made, threshold=0.3).mask
    assert mask is not None and mask.sum() == 4
    assert predicted_answer(ExplainedSample(made)) is None


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100.0%"), (0.9999, ">99.9%"), (0.0001, "<0.1%"), (0, "0.0%")]
)
def test_percent_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_the_explanation_tells_where_samples_lie() -> None:
    x = np.arange(12.0).reshape(2, 2, 3)
    made = explanation({"x": x, "shared": x}, {"x": x, "shared": x}, samples=2)
    second = ExplainedSample(replace(made, axes={"x": 1, "shared": None}), 1)
    np.testing.assert_array_equal(second.relevance("x"), x[:, 1])
    np.testing.assert_array_equal(second.relevance("shared"), x)
    np.testing.assert_array_equal(ExplainedSample(made, 1).relevance("x"), x[1])
