"""Models of many shapes are audited: batches that are fixed, one sigmoid, pictures, few rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.running import Report, run_audit
from backtrace_onnx.audit.settings import settings_of
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.inputs.sidecar import Sidecar
from tests.audit.audited import linear, write_model, write_rows
from tests.command_line import DIGIT, MNIST, MODELS

WEIGHTS = "float[4, 1] w = {1.0, -1.0, 2.0, 0.5}"


def write(folder: Path, text: str, rows: int) -> tuple[Path, Path]:
    onnx.save(
        parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> {text}'), folder / "m.onnx"
    )
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    np.save(folder / "x.npy", x)
    return folder / "m.onnx", folder / "x.npy"


def opened(model: Path, *files: Path, **settings: Any) -> AuditedModel:
    made = settings_of(settings, "settings", ())
    return AuditedModel(model, tuple(map(str, files)), made, Sidecar.beside(model))


def statuses(report: Report) -> dict[str, str]:
    return {finding.check.id: finding.status for finding in report.findings}


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    nodes = "z = MatMul(x, w) y = Relu(z)"
    open_, rows = write(
        tmp_path, f"g (float[n, 4] x) => (float[n, 1] y) <{WEIGHTS}> {{ {nodes} }}", 30
    )
    wanted = opened(open_, rows, task="regression").whole
    fixed, _ = write(
        tmp_path, f"g (float[8, 4] x) => (float[8, 1] y) <{WEIGHTS}> {{ {nodes} }}", 30
    )
    found = opened(fixed, rows, task="regression")
    np.testing.assert_array_equal(found.whole.features, wanted.features)
    np.testing.assert_array_equal(found.scores(found.data.feeds), wanted.scores)
    status = statuses(run_audit(found))
    assert status["batch-invariance"] == "skipped" and "broken" not in status.values()


def test_one_sigmoid_is_two_classes(tmp_path: Path) -> None:
    text = f"g (float[n, 4] x) => (float[n, 1] y) <{WEIGHTS}> {{ z = MatMul(x, w) y = Sigmoid(z) }}"
    found = opened(*write(tmp_path, text, 30))
    scores = found.whole.scores
    assert scores.shape == (30, 2)
    np.testing.assert_allclose(scores.sum(1), 1)
    np.testing.assert_array_equal(found.whole.target, scores.argmax(1))
    assert statuses(run_audit(found))["class-sensitivity"] == "passed"


def test_one_row_skips_what_takes_more(tmp_path: Path) -> None:
    text = f"g (float[n, 4] x) => (float[n, 1] y) <{WEIGHTS}> {{ z = MatMul(x, w) y = Sigmoid(z) }}"
    status = statuses(run_audit(opened(*write(tmp_path, text, 1))))
    skipped = {name for name, s in status.items() if s == "skipped"}
    assert {"deletion", "batch-invariance", "max-sensitivity"} <= skipped
    assert status["determinism"] == "passed" and "broken" not in status.values()


def test_no_rows_and_too_many_entries_are_refused(tmp_path: Path) -> None:
    text = f"g (float[n, 4] x) => (float[n, 1] y) <{WEIGHTS}> {{ z = MatMul(x, w) y = Sigmoid(z) }}"
    with pytest.raises(InputError, match="no rows"):
        opened(*write(tmp_path, text, 0))
    wide = "g (float[n, 2000] x) => (float[n, 2000] y) { y = Relu(x) }"
    model, rows = write(tmp_path, wide, 1)
    np.save(rows, np.ones((1, 2000), np.float32))
    with pytest.raises(RequestError, match="2000 entries, too many to name"):
        opened(model, rows)


def test_pictures_have_squares(tmp_path: Path) -> None:
    found = opened(MNIST, DIGIT, MODELS / "samples" / "digit_5.png")
    assert len(found.features.names) == 49 and found.features.names[1] == "image[0:4, 4:8]"
    assert not found.whole.relevance, "no mask is held against the entries"
    relevance = found.explain(found.data.feeds).relevance["image"]
    wanted = relevance.reshape(2, 7, 4, 7, 4).sum((2, 4)).reshape(2, 49)
    np.testing.assert_allclose(found.whole.features, wanted, rtol=1e-5, atol=1e-6)
    own = Baseline.of(found)
    assert own.answers.predictions.rows == 2 and len(own.text()) < 30_000


def test_a_segmentation_is_refused() -> None:
    scene = MODELS / "samples" / "scene_1.png"
    with pytest.raises(RequestError, match="this is a segmentation"):
        _ = opened(MODELS / "digits_unet.onnx", scene).whole


def test_labels_are_the_column_that_the_sidecar_names(tmp_path: Path) -> None:
    model, rows = write_model(tmp_path, linear()), write_rows(tmp_path, 20)
    file = tmp_path / "net.sidecar.json"
    assert opened(model, rows).data.labels is None
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "columns": {"labels": ["answer"]}}))
    found = opened(model, rows).data.labels
    assert found is not None and set(found) == {"no", "yes"}
    np.save(tmp_path / "x.npy", np.ones((3, 4), np.float32))
    assert opened(model, tmp_path / "x.npy").data.labels is None
    file.write_text(json.dumps({**about, "columns": {"labels": ["other"]}}))
    assert opened(model, rows).data.labels is None


def test_rows_are_compared_with_those_of_a_background(tmp_path: Path) -> None:
    """A linear model's differences to their mean, exactly."""
    model, rows = write_model(tmp_path, linear()), write_rows(tmp_path, 20)
    others = write_rows(tmp_path, 7, seed=1, name="others.csv")
    found = opened(model, rows, label="answer", background=str(others))
    x, x0 = (np.loadtxt(f, delimiter=",", skiprows=1, usecols=range(4)) for f in (rows, others))
    w = np.array(((2.0, -2.0), (1.0, -1.0), (0.5, -0.5), (0.0, 0.0)))
    answers = (x @ w).argmax(1)
    wanted = (x - x0.mean(0)) * w[:, answers].T
    np.testing.assert_allclose(found.whole.features, wanted, rtol=1e-4, atol=1e-5)
    assert found.whole.first.mode == "deeplift"
    assert "broken" not in statuses(run_audit(found)).values()
    with pytest.raises(RequestError, match="mode 'lrp' takes no background"):
        assert opened(model, rows, mode="lrp", background=str(others)).whole
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        opened(model, rows, background=str(tmp_path / "none.csv"))
