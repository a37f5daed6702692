"""Model cards: what is known is told, what is not is said to be missing."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from backtrace_onnx.audit import audit
from backtrace_onnx.audit.outputs.model_card import SPEC, UNTOLD, as_cyclonedx, as_model_card
from backtrace_onnx.audit.running import Report
from tests.audit.audited import linear, write_model, write_rows

LEAKED = ((0.5, -0.5), (0.0, 0.0), (0.0, 0.0), (3.0, -3.0))
CARD = {
    "name": "Loans | 2",
    "description": "Decides <nothing> by itself.",
    "owner": "Credit team",
    "license": "proprietary",
    "users": ["clerks"],
    "use_cases": ["a second opinion"],
    "limitations": ["no companies"],
    "ethics": ["applicants may object"],
    "training_data": ["loans of 2019"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 120)
    write_model(tmp_path, linear(LEAKED))
    return tmp_path


def reported(card: Any = None) -> Report:
    off = {"deletion": {"enabled": False}}
    how: dict[str, Any] = {"label": "answer", "groups": ["answer"], "sensitive": ["leak"]}
    settings = {**how, "mode": "lrp", "checks": off, "model_card": card or {}}
    return audit("net.onnx", "rows.csv", settings=settings)


def test_a_card_tells_what_is_known(folder: Path) -> None:
    report = reported(CARD)
    text = as_model_card(report)
    assert "# Model card: Loans \\| 2" in text and "Decides &lt;nothing>" in text
    assert UNTOLD not in text and "- clerks" in text and "- loans of 2019" in text
    assert "- sensitive-share: leak has " in text  # a limitation that is known
    assert f"| file (sha256) | {report.facts['model']['sha256']} |" in text
    assert "| leak |" in text and "| accuracy | answer no," in text
    assert "| inputs | x float32" in text
    assert "helps to document" in text and "complian" not in text.lower()


def test_what_nobody_told_is_said_to_be_missing(folder: Path) -> None:
    text = as_model_card(reported())
    assert "# Model card: net.onnx" in text and text.count(UNTOLD) == 7


@pytest.mark.parametrize("card", [CARD, {}], ids=["told", "untold"])
def test_the_bill_of_materials_is_valid(folder: Path, card: Any) -> None:
    package = find_spec("cyclonedx")
    if package is None or package.origin is None:
        pytest.skip("cyclonedx-python-lib, which ships the schema, is not installed")
    report = reported(card)
    made = json.loads(as_cyclonedx(report))
    files = Path(package.origin).parent / "schema" / "_res"
    names = {f"bom-{SPEC}": None, "spdx": None, "jsf-0.82": None, "cryptography-defs": None}
    schemas = {
        name: json.loads((files / f"{name}.SNAPSHOT.schema.json").read_text("utf-8"))
        for name in names
        if (files / f"{name}.SNAPSHOT.schema.json").is_file()
    }
    kept = [(s["$id"], Resource.from_contents(s)) for s in schemas.values()]
    whole = schemas[f"bom-{SPEC}"]
    registry: Registry[Any] = Registry().with_resources(kept)
    jsonschema.Draft7Validator(whole, registry=registry).validate(made)
    assert as_cyclonedx(report) == as_cyclonedx(reported(card))
    model = made["metadata"]["component"]
    assert model["hashes"][0]["content"] == report.facts["model"]["sha256"]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0] == {"type": "accuracy", "value": f"{report.facts['accuracy']:.6g}"}
    (data,) = made["components"]
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    assert ("supplier" in model) == bool(card)


def test_the_command_writes_both(run: Any, folder: Path) -> None:
    (folder / "audit.toml").write_text("[model_card]\nowner = 'me'\n")
    how = ("audit", "net.onnx", "--data", "rows.csv", "--config", "audit.toml")
    assert run(*how, "--model-card", "card.md", "--fail-on", "never")[0] == 0
    assert run(*how, "--model-card", "bom.json", "--fail-on", "never")[0] == 0
    assert "| owner | me |" in (folder / "card.md").read_text()
    assert json.loads((folder / "bom.json").read_text())["bomFormat"] == "CycloneDX"
    (folder / "audit.toml").write_text("[model_card]\nowners = 'me'\n")
    code, _, err = run(*how)
    assert code == 2 and "model_card.owners: unknown key 'owners'; did you mean 'owner'?" in err


def test_a_card_says_of_how_many_rows_a_number_is(folder: Path) -> None:
    """Checks that draw rows say how many, others of all; a share that of its answer's rows."""
    report = reported()
    text = as_model_card(report)
    assert "| determinism | 64 of 120 rows | 0 |" in text
    assert "| batch-invariance | 16 of 120 rows |" in text
    assert "| ledger | all rows |" in text and "| operator-coverage | nodes | 0 |" in text
    (share,) = (f for f in report.findings if f.check.id == "sensitive-share")
    where = share.text.rpartition("|relevance|")[2]
    assert (f"| sensitive-share | {share.of} |" if where else "sensitive-share | all rows") in text
    assert share.of.endswith(where)
    drawn = {f.check.id for f in report.findings if f.check.rows and isinstance(f.value, float)}
    assert {f.check.id for f in report.findings if f.of.endswith("of 120 rows")} <= drawn
