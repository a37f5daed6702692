"""A report as people and machines read it: a table, JSON, JUnit XML, Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.outputs.record import record
from backtrace_onnx.audit.running import Report
from backtrace_onnx.messages.terminal_text import visible, visible_json
from backtrace_onnx.report.console import show, table
from backtrace_onnx.results.whole_files import written_whole

if TYPE_CHECKING:
    from rich.console import Console

_CONFIRMED = {True: "yes", False: "no", None: ""}


def print_report(to: Console, report: Report) -> None:
    """Print a table of the checks, and the verdict."""
    facts = report.facts
    beside = f", compared with {', '.join(report.earlier)}" if report.earlier else ""
    to.print(f"{report.model}{beside}: {facts['data']['rows']} row(s), mode {facts['mode']}")
    rows = table(to, "check", "result", "value", "bound", "confirmed", "finding", right=(2,))
    for finding in report.ran:
        rows.add_row(
            finding.check.id,
            result_text(finding),
            number_text(finding.value),
            bound_text(finding),
            _CONFIRMED[finding.confirmed],
            finding.text,
        )
    show(to, rows)
    for reason, checks in report.skipped.items():
        to.print(f"not checked, as {reason}: {', '.join(checks)}")
    for note in facts["notes"]:
        to.print(f"note: {note_text(report, note)}")
    to.print(report.verdict)


def as_json(report: Report) -> str:
    """The report as JSON."""
    text = json.dumps(record(report), indent=1, ensure_ascii=False, allow_nan=False)
    return visible_json(text) + "\n"


def as_junit(report: Report) -> str:
    """The report as JUnit XML: a failure is what stops the model, an error a broken check."""
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    command = "compare" if report.facts["comparing"] else "audit"
    suite = TestSuite(f"backtrace-onnx {command} {visible(report.model)}")
    for f in report.findings:
        case = TestCase(f.check.id, f"backtrace-onnx.{command}")
        text = visible(f"{f.text} (bound: {bound_text(f)}, {f.source})")
        if f.status == "broken":
            case.result = [Error(text, "broken")]
        elif report.stops(f):
            case.result = [Failure(text, f.severity)]
        elif f.status == "skipped":
            case.result = [Skipped(text)]
        else:
            case.system_out = f"{result_text(f)}: {text}"
        suite.add_testcase(case)
    xml = JUnitXml()
    xml.add_testsuite(suite)
    made: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return made.decode("utf-8")


def as_markdown(report: Report) -> str:
    """The report as Markdown, for the summary of a job."""
    facts = report.facts
    lines = [
        f"## {_cell(report.title)}",
        "",
        f"**{_cell(report.verdict)}**",
        "",
        f"{facts['data']['rows']} rows, mode {_cell(facts['mode'])}, seed {facts['seed']}, model "
        f"{facts['model']['sha256'][:12]}, data {facts['data']['sha256'][:12]}",
        "",
        "| check | result | value | bound | source | confirmed | finding |",
        "|---|---|---:|---|---|---|---|",
    ]
    for f in report.ran:
        cells = (
            f.check.id,
            result_text(f),
            number_text(f.value),
            bound_text(f),
            f.source,
            _CONFIRMED[f.confirmed],
            f.text,
        )
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    skipped = [f"- {_cell(reason)}: {', '.join(ids)}" for reason, ids in report.skipped.items()]
    notes = [f"- {_cell(note_text(report, note))}" for note in facts["notes"]]
    for what, told in (("Not checked:", skipped), ("Notes of the explanations:", notes)):
        lines += ["", what, "", *told] if told else []
    return "\n".join([*lines, ""])


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises RequestError where it cannot be written."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def note_text(report: Report, note: Mapping[str, Any]) -> str:
    """A note, with the number of rows where these are not all."""
    every = note["rows"] == report.facts["data"]["rows"]
    return note["text"] if every else f"{note['text']} ({note['rows']} row(s))"


def result_text(finding: Finding) -> str:
    if finding.status == "failed":
        return f"failed ({finding.severity})"
    return finding.status


def number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def bound_text(finding: Finding) -> str:
    return f"{finding.check.better} {finding.threshold:g}"


def _cell(text: str) -> str:
    told = visible(text).replace("\\", "\\\\").replace("|", "\\|")
    return told.replace("<", "&lt;").replace("`", "\\`")


__all__ = ["as_json", "as_junit", "as_markdown", "print_report", "record", "write_text"]
