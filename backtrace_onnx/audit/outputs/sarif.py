"""A report as SARIF 2.1.0, which code hosts show beside the lines that it is about."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from backtrace_onnx import __version__
from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.outputs.locations import find_location, relative
from backtrace_onnx.audit.running import Report
from backtrace_onnx.messages.terminal_text import visible_json

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "%SRCROOT%"


def as_sarif(report: Report) -> str:
    """The failed and broken checks as results, each with a physical location; all as rules."""
    rules = [finding.check.id for finding in report.findings]
    shown = [f for f in report.findings if f.status in ("failed", "broken")]
    run = {
        "tool": {
            "driver": {
                "name": "backtrace-onnx audit",
                "semanticVersion": __version__,
                "rules": [_rule(finding) for finding in report.findings],
            }
        },
        "automationDetails": {"id": f"backtrace-onnx/audit/{PurePosixPath(report.model).name}/"},
        "invocations": [
            {
                "executionSuccessful": not report.broken,
                "exitCode": report.exit_code,
                "toolExecutionNotifications": [
                    _notification(f) for f in report.findings if f.status in ("skipped", "broken")
                ],
            }
        ],
        "results": [_result(report, finding, rules) for finding in shown],
        "properties": {"verdict": report.verdict, "mode": report.facts["mode"]},
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return visible_json(json.dumps(log, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    check = finding.check
    bound = f"Its number must be {check.better} {finding.threshold:g} ({finding.source})."
    return {
        "id": check.id,
        "shortDescription": {"text": check.question},
        "fullDescription": {"text": check.question},
        "help": {"text": bound},
        "defaultConfiguration": {"level": finding.severity},
    }


def _result(report: Report, finding: Finding, rules: list[str]) -> dict[str, Any]:
    path, line = find_location(report, finding)
    told = {True: " An intervention confirms it.", False: " An intervention does not confirm it."}
    text = f"{finding.text}{'' if finding.confirmed is None else '.' + told[finding.confirmed]}"
    named = f"{finding.check.id}:{report.model}".encode()
    uri = relative(path)
    where: dict[str, Any] = {"uri": quote(uri)}
    if PurePosixPath(uri).is_absolute():
        where["uri"] = f"file://{quote(uri)}"
    else:
        where["uriBaseId"] = ROOT
    return {
        "ruleId": finding.check.id,
        "ruleIndex": rules.index(finding.check.id),
        "level": "error" if finding.status == "broken" else finding.severity,
        "message": {"text": text},
        "locations": [
            {"physicalLocation": {"artifactLocation": where, "region": {"startLine": line}}}
        ],
        "partialFingerprints": {"checkOfModel/v1": hashlib.sha256(named).hexdigest()},
        "properties": {
            "confirmed": finding.confirmed,
            "stops": report.stops(finding),
            "value": None if finding.value == float("inf") else finding.value,
        },
    }


def _notification(finding: Finding) -> dict[str, Any]:
    return {
        "level": "error" if finding.status == "broken" else "note",
        "message": {"text": f"{finding.check.id} {finding.status}: {finding.text}"},
        "associatedRule": {"id": finding.check.id},
    }


__all__ = ["as_sarif"]
