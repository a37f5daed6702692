"""The command `compare`, and `audit --baseline-model`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.audit.audited import linear, write_model, write_rows
from tests.audit.checks.test_row_drift import A, B

DATA = ("--data", "rows.csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 50)
    write_model(tmp_path, linear(A), "old")
    write_model(tmp_path, linear(B), "new")
    return tmp_path


def test_the_same_model_passes_and_another_does_not(run: Any, folder: Path) -> None:
    code, out, _ = run("compare", "old.onnx", "old.onnx", *DATA)
    assert code == 0 and "every answer is what it was" in out
    code, out, _ = run("compare", "old.onnx", "new.onnx", *DATA, "--json", "r.json")
    assert code == 1 and "Same inputs, same answers, other reasons" in out
    found = json.loads((folder / "r.json").read_text())
    assert found["baseline_models"][0]["name"] == "old.onnx" and found["name"] == "new.onnx"
    assert {check["id"] for check in found["checks"]} >= {"sample-drift", "layer-drift"}
    assert "ledger" not in {check["id"] for check in found["checks"]}


def test_an_audit_takes_earlier_models(run: Any, folder: Path) -> None:
    (folder / "audit.toml").write_text("[checks.deletion]\nenabled = false\n")
    how = ("new.onnx", *DATA, "--config", "audit.toml", "--baseline-model", "old.onnx")
    code, out, _ = run("audit", *how)
    assert code == 1 and "sample-drift" in out and "ledger" in out
    code, out, _ = run("audit", *how, "--baseline-model", "new.onnx")
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.onnx", "new.onnx", *DATA), "none.onnx"),
        (("old.onnx", "new.onnx"), "Missing option '--data'"),
        (("old.onnx", *DATA), "Missing argument"),
        (("old.onnx", "new.onnx", "--data", "none.csv"), "none.csv: no such file"),
    ],
)
def test_wrong_use_exits_2(run: Any, folder: Path, arguments: Any, words: str) -> None:
    code, _, err = run("compare", *arguments, "--json", "made.json")
    assert code == 2 and words in err and "Traceback" not in err
    assert not (folder / "made.json").exists()
