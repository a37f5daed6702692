"""Row by row: two models of the same answers and other reasons are told apart, and confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.audit import compare
from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.checks.row_drift import RowPairs, cosines, pair_rows, top_features
from backtrace_onnx.errors import InputError
from tests.audit.audited import COLUMNS, linear, subject, write_model, write_rows

A = ((3.0, -3.0), (0.0, 0.0), (0.5, -0.5), (0.0, 0.0))
B = ((0.0, 0.0), (3.0, -3.0), (0.5, -0.5), (0.0, 0.0))
"""Columns a and b hold the same: two models of the same answers that rest on one of the two."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compare")
    write_rows(made)
    write_model(made, linear(A), "first")
    write_model(made, linear(B), "second")
    return made


def compared(folder: Path, old: str, new: str, **settings: Any) -> dict[str, Finding]:
    settings = {"mode": "lrp", **settings}
    report = compare(folder / old, folder / new, str(folder / "rows.csv"), settings=settings)
    return {finding.check.id: finding for finding in report.findings}


def test_answers_kept_and_reasons_changed(folder: Path) -> None:
    found = compared(folder, "first.onnx", "second.onnx")
    assert found["answers-kept"].status == "passed" and found["answers-kept"].value == 1.0
    drift = found["sample-drift"]
    assert (drift.status, drift.confirmed) == ("failed", True) and drift.value == 0.98
    assert drift.evidence["changed_with_answers_kept"] == 196
    moved = drift.evidence["features_gained"]
    assert moved["now"]["score_moved"] > 0.5 and moved["before"]["score_moved"] == 0.0
    assert found["sample-top-features"].status == "failed"
    assert found["rank-drift"].status == found["reason-drift"].status == "failed"


def test_the_same_model_is_the_same(folder: Path) -> None:
    report = compare(
        folder / "first.onnx", folder / "first.onnx", [str(folder / "rows.csv")], settings={}
    )
    found = {finding.check.id: finding.value for finding in report.findings}
    assert report.exit_code == 0 and report.verdict == "passed: 9 passed, 1 skipped"
    assert found["sample-drift"] == 0 and found["sample-top-features"] == 1
    assert found["layer-drift"] == pytest.approx(1)


def test_rows_of_other_answers_are_explained_for_the_old_one(folder: Path) -> None:
    """Weights of the other sign: every answer is the other one, and so is its explanation."""
    turned = write_model(folder, linear(-np.array(A)), "turned")
    old, new = (subject(m, folder / "rows.csv") for m in (folder / "first.onnx", turned))
    pair = pair_rows(old, new)
    assert not pair.kept.any()
    np.testing.assert_allclose(pair.now, -pair.was, rtol=1e-4)
    np.testing.assert_allclose(pair.cosines, -1, rtol=1e-4)
    found = compared(folder, "first.onnx", "turned.onnx")
    assert found["answers-kept"].value == 0 and found["answers-kept"].evidence["changed"] == 200
    report = compare(folder / "first.onnx", turned, str(folder / "rows.csv"), settings={})
    assert "same answers" not in report.verdict


def test_several_models_loosen_the_bounds(folder: Path) -> None:
    """What seeds are apart is no drift; what none of them has is."""
    from backtrace_onnx.audit import audit

    rows, third = str(folder / "rows.csv"), write_model(folder, linear(np.add(A, B) / 2), "third")
    leaked = write_model(folder, linear([(0, 0), (0, 0), (0.5, -0.5), (3, -3)]), "leaked")
    off = {"deletion", "parameter-randomisation", "max-sensitivity", "batch-invariance"}
    settings = {"mode": "lrp", "checks": {name: {"enabled": False} for name in off}}
    seeds = [folder / "first.onnx", folder / "second.onnx"]
    report = audit(third, rows, settings=settings, baseline_models=seeds)
    status = {finding.check.id: finding for finding in report.findings}
    assert status["sample-drift"].threshold == 0.98
    assert status["sample-drift"].source == "as far as the baselines are apart"
    assert status["rank-drift"].status == status["reason-drift"].status == "passed"
    assert [one["name"] for one in report.facts["baseline_models"]] == list(map(str, seeds))
    report = audit(leaked, rows, settings=settings, baseline_models=seeds)
    found = {one.check.id: one.severity for one in report.findings if one.status == "failed"}
    assert found["sample-drift"] == "warning"  # two models say little of how far a third may be
    assert "error" in found.values() and report.exit_code == 1
    report = audit(leaked, rows, settings=settings, baseline_models=seeds[:1])
    (alone,) = (one for one in report.findings if one.check.id == "sample-drift")
    assert (alone.status, alone.severity) == ("failed", "error")


def test_other_features_are_named(folder: Path) -> None:
    from onnx import load, save

    model = load(folder / "first.onnx")
    model.graph.input[0].name = model.graph.node[0].input[0] = "z"
    save(model, folder / "renamed.onnx")
    np.save(folder / "rows.npy", np.ones((3, 4), np.float32))
    with pytest.raises(InputError, match=r"renamed\.onnx: .*first.sidecar.json: inputs\.x"):
        compare(
            folder / "first.onnx", folder / "renamed.onnx", str(folder / "rows.npy"), settings={}
        )


def test_cosines_and_overlaps_by_hand() -> None:
    was = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    now = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(cosines(was, now), [0, 1, 1 / np.sqrt(2), 0])
    np.testing.assert_allclose(RowPairs(was, now, np.ones(4, bool)).overlaps(2), [0, 1, 0.5, 0])
    tops = top_features(np.array([[1.0, -3.0, 1.0, 0.5]]), 2)
    assert tops.tolist() == [[True, True, False, False]]
    assert len(COLUMNS) == 4
