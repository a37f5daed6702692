"""A model card, as Markdown for people and as a CycloneDX ML-BOM for machines.

It helps to document a model: what only people know is theirs to write, in the settings'
[model_card], and what they leave out is said to be missing.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from backtrace_onnx import __version__
from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.running import Report
from backtrace_onnx.messages.terminal_text import visible, visible_json
from backtrace_onnx.report.signed_amounts import signed_percent

SPEC = "1.6"
TOLD = 10
UNTOLD = "(not told: write it into [model_card] of the settings)"
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "backtrace-onnx model card")


def as_model_card(report: Report) -> str:
    """The card as Markdown."""
    card = report.card
    lines = [
        f"# Model card: {_plain(card.name or Path(report.model).name)}",
        "",
        _plain(card.description) or UNTOLD,
        "",
        "This card helps to document a model; it certifies nothing.",
        "",
        *_about_model(report),
        "## Use",
        "",
        *_section("Users", card.users),
        *_section("Use cases", card.use_cases),
        *_section("Limitations that are known", (*card.limitations, *_limits(report))),
        *_section("Ethical considerations", card.ethics),
        *_section("Training data", card.training_data),
        *_about_answers(report),
        "## Checks",
        "",
        f"{_plain(report.verdict)}.",
        "",
        *_table(("check", "result", "confirmed", "finding"), map(_checked, report.findings)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _about_model(report: Report) -> list[str]:
    """Whose the model is, and what its file holds."""
    model, card = report.facts["model"], report.card
    rows = [
        ("owner", card.owner or UNTOLD),
        ("licence", card.license or UNTOLD),
        ("file (sha256)", model["sha256"]),
        ("written by", model["producer"]),
        ("opset", ", ".join(f"{k} {v}" for k, v in model["opset"].items())),
        ("inputs", "; ".join(f"{x['name']} {x['type']}" for x in model["inputs"])),
        ("outputs", "; ".join(f"{x['name']} {x['type']}" for x in model["outputs"])),
        ("task", report.facts["task"]),
    ]
    return ["## Model", "", *_table(("what", "value"), rows)]


def _about_answers(report: Report) -> list[str]:
    """How good the answers are, and what they rest on."""
    facts, data = report.facts, report.facts["data"]
    shares = [
        (f["name"], f"{f['share']:.1%}", signed_percent(f["signed"]))
        for f in facts["features"][:TOLD]
    ]
    return [
        "## Evaluation",
        "",
        f"{data['rows']} rows (sha256 {data['sha256'][:12]}), seed {facts['seed']}.",
        "",
        *_table(("metric", "of", "value"), _metrics(report)),
        "## What answers rest on",
        "",
        f"Mean part of a row's relevance, mode {facts['mode']}.",
        "",
        *_table(("feature", "share", "with sign"), shares),
    ]


def as_cyclonedx(report: Report) -> str:
    """The card as a CycloneDX bill of materials; the same report gives the same file."""
    facts, card = report.facts, report.card
    name = card.name or Path(report.model).name
    model, data = facts["model"], facts["data"]
    serial = uuid.uuid5(_SPACE, f"{model['sha256']} {data['sha256']} {__version__}")
    reference = f"data-{data['sha256'][:12]}"
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model-{model['sha256'][:12]}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": model["sha256"]}],
        "modelCard": _model_card(report, reference),
        "properties": [{"name": f"onnx:{k}", "value": v} for k, v in _about(model).items()],
    }
    if card.description:
        component["description"] = card.description
    if card.owner:
        component["supplier"] = {"name": card.owner}
    if card.license:
        component["licenses"] = [{"license": {"name": card.license}}]
    tool = {"type": "application", "name": "backtrace-onnx", "version": __version__}
    evaluated = {
        "type": "data",
        "bom-ref": reference,
        "name": ", ".join(Path(file).name for file in report.data) or "data",
        "data": [{"type": "dataset", "description": f"evaluation, {data['rows']} rows"}],
        "properties": [{"name": "sha256 of all files", "value": data["sha256"]}],
    }
    made = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": component},
        "components": [evaluated],
    }
    return visible_json(json.dumps(made, indent=1, ensure_ascii=False)) + "\n"


def _model_card(report: Report, reference: str) -> dict[str, Any]:
    facts, card = report.facts, report.card
    metrics = [
        {"type": kind, "value": value} | ({"slice": of} if of != "all rows" else {})
        for kind, of, value in _metrics(report)
    ]
    told: dict[str, Any] = {
        "users": [*card.users],
        "useCases": [*card.use_cases],
        "technicalLimitations": [*card.limitations, *_limits(report)],
        "ethicalConsiderations": [{"name": text} for text in card.ethics],
    }
    properties = [
        *((f"check:{f.check.id}", f"{f.status}: {f.text}") for f in report.findings),
        *((f"share:{f['name']}", f"{f['share']:.6f}") for f in facts["features"][:TOLD]),
        *(("training data", text) for text in card.training_data),
    ]
    return {
        "modelParameters": {
            "task": facts["task"],
            "datasets": [{"ref": reference}],
            "inputs": [{"format": f"{x['name']} {x['type']}"} for x in facts["model"]["inputs"]],
            "outputs": [{"format": f"{x['name']} {x['type']}"} for x in facts["model"]["outputs"]],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {key: value for key, value in told.items() if value},
        "properties": [{"name": name, "value": value} for name, value in properties],
    }


def _about(model: dict[str, Any]) -> dict[str, str]:
    opset = ", ".join(f"{k} {v}" for k, v in model["opset"].items())
    return {"producer": model["producer"], "opset": opset}


def _metrics(report: Report) -> list[tuple[str, str, str]]:
    """(kind, of whom, value): accuracy of all and of groups, and the numbers of the checks."""
    made = []
    if report.facts["accuracy"] is not None:
        made.append(("accuracy", "all rows", f"{report.facts['accuracy']:.6g}"))
    for finding in report.findings:
        if finding.check.id == "group-gap":
            for column, groups in finding.evidence.get("groups", {}).items():
                made += [
                    ("accuracy", f"{column} {group}, {about['rows']} rows", f"{about['accuracy']}")
                    for group, about in groups.items()
                    if "accuracy" in about
                ]
    made += [
        (finding.check.id, finding.of or "all rows", f"{finding.value:.6g}")
        for finding in report.findings
        if finding.value is not None
    ]
    return made


def _limits(report: Report) -> list[str]:
    """Failed and broken checks, as limitations that are known of the model."""
    return [f"{f.check.id}: {f.text}" for f in report.findings if f.status in ("failed", "broken")]


def _checked(finding: Finding) -> tuple[str, str, str, str]:
    told = {True: "yes", False: "no", None: ""}[finding.confirmed]
    return finding.check.id, finding.status, told, finding.text


def _section(title: str, texts: tuple[str, ...]) -> list[str]:
    told = [f"- {_plain(text)}" for text in texts] or [UNTOLD]
    return [f"### {title}", "", *told, ""]


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    cells = [f"| {' | '.join(map(_plain, row))} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *cells, ""]


def _plain(text: str) -> str:
    told = visible(text).replace("\\", "\\\\").replace("|", "\\|")
    return told.replace("<", "&lt;").replace("`", "\\`")


__all__ = ["as_cyclonedx", "as_model_card"]
