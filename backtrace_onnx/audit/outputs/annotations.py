"""Findings as annotations of a GitHub job: lines that its runner reads from the output."""

from __future__ import annotations

import os

from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.outputs.locations import find_location, relative
from backtrace_onnx.audit.running import Report


def annotation_lines(report: Report) -> list[str]:
    """A line for each failed or broken check inside a GitHub job, elsewhere none."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    return [_line(report, f) for f in report.findings if f.status in ("failed", "broken")]


def _line(report: Report, finding: Finding) -> str:
    path, line = find_location(report, finding)
    level = "error" if finding.status == "broken" or report.stops(finding) else "warning"
    where = {"file": relative(path), "line": str(line), "title": f"audit: {finding.check.id}"}
    told = ",".join(f"{key}={_property(value)}" for key, value in where.items())
    return f"::{level} {told}::{_data(finding.text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


__all__ = ["annotation_lines"]
