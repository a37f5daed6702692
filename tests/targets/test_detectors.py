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
from tests.detectors import PICTURES, chosen

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


def test_the_report_says_that_chosen_rows_are_boxes(tmp_path: Path, capsys: Any) -> None:
    onnx.save(chosen("joined"), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", PICTURES[:1])
    assert main(["explain", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "detection"
    (sample,) = found["samples"]
    assert any("explained as a detector's" in note for note in sample["notes"])
