"""The schemas in docs/schemas are those of the code, and reports and settings fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.outputs.record import SCHEMA, ReportRecord
from backtrace_onnx.audit.outputs.schemas import NAMES, schema_of, schema_text
from backtrace_onnx.audit.outputs.tables import as_json
from tests.audit.audited import audit, linear, subject, write_model, write_rows

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_those_of_the_code(name: str, run: Any) -> None:
    """Written by `backtrace-onnx audit --schema NAME > docs/schemas/audit-NAME.schema.json`."""
    kept = json.loads((FOLDER / f"audit-{name}.schema.json").read_text("utf-8"))
    assert kept == schema_of(name)
    jsonschema.Draft202012Validator.check_schema(kept)
    assert run("audit", "--schema", name)[:2] == (0, schema_text(name))


def test_reports_and_baselines_fit(tmp_path: Path) -> None:
    rows, model = write_rows(tmp_path, 120), write_model(tmp_path, linear())
    before = Baseline.of(subject(model, rows, label="answer"))
    np.savez(tmp_path / "y.npz", y=np.full((3, 2), np.inf))
    how: dict[str, Any] = {"label": "answer", "reference": str(tmp_path / "y.npz")}
    report = audit(model, rows, before, [subject(model, rows)], **how)
    made = json.loads(as_json(report))
    jsonschema.validate(made, schema_of("report"))
    by_id = {check["id"]: check for check in made["checks"]}
    assert by_id["forward-parity"]["value"] == "Infinity" and made["accuracy"] == 1.0
    assert made["schema_version"] == SCHEMA == 3
    assert ReportRecord.model_validate(made).features[0].name in "ab"
    jsonschema.validate(json.loads(before.text()), schema_of("baseline"))


def test_settings_that_are_wrong_do_not_fit() -> None:
    schema = schema_of("settings")
    jsonschema.validate({"sensitive": ["a"], "checks": {"ledger": {"threshold": 1}}}, schema)
    for wrong in ({"sensitiv": ["a"]}, {"checks": {"ledger": {"rows": 0}}}, {"mode": 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
