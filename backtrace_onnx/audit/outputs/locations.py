"""Where a finding is shown: the line of the settings that it is about, or the data."""

from __future__ import annotations

import os
import re
from pathlib import Path

from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.running import Report
from backtrace_onnx.audit.settings import TABLE
from backtrace_onnx.data.reading import find_files
from backtrace_onnx.data.remote_files import is_url
from backtrace_onnx.errors import InputError

KEYS = {
    "accuracy": "label",
    "forbidden-top-features": "forbidden",
    "forward-parity": "reference",
    "group-gap": "groups",
    "reason-codes": "reasons",
    "relevance-outside-mask": "mask",
    "required-top-features": "required",
    "sensitive-proxies": "sensitive",
    "sensitive-share": "sensitive",
}
"""The key of the settings that a check is about."""


def find_location(report: Report, finding: Finding) -> tuple[str, int]:
    """The file, as it was named, and its line, from 1.

    That is the line of the settings that sets the check up; without settings the first line of
    the first file of data.
    """
    if report.config is None:
        return _first_file(report).as_posix(), 1
    file = Path(report.config)
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return file.as_posix(), 1
    return file.as_posix(), _line(lines, finding.check.id)


def _line(lines: list[str], check: str) -> int:
    name = re.escape(check)
    wanted = [rf"\[(.*\.)?checks\.[\"']?{name}[\"']?\]", rf"(.*\.)?checks\.[\"']?{name}[\"']?\b"]
    if check in KEYS:
        wanted.append(rf"(top_features\.)?{KEYS[check]}\s*=")
    wanted += [rf".*[\"']{name}[\"']", rf"\[{re.escape(TABLE)}"]
    for pattern in wanted:
        for i, line in enumerate(lines):
            if re.match(pattern, line.strip()):
                return i + 1
    return 1


def _first_file(report: Report) -> Path:
    """The first file of data on this machine; the model where there is none."""
    for argument in report.data:
        rest = argument.partition("=")[2]
        named = rest if rest and not Path(argument).exists() else argument
        if is_url(named):
            continue
        try:
            return Path(find_files(named)[0].paths[0])
        except InputError:
            continue
    return Path(report.model)


def relative(path: str) -> str:
    """The path as the repository has it: from its root in a GitHub job, else from this folder."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    whole = Path(path).resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.as_posix()


__all__ = ["KEYS", "find_location", "relative"]
