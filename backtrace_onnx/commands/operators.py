"""The support table: how every operator is explained."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import onnx

from backtrace_onnx.report.console import show, table
from backtrace_onnx.results.coverage import OperatorCoverage, refused_in_files, rows

if TYPE_CHECKING:
    from rich.console import Console


def as_records() -> list[dict[str, str]]:
    """What `--json` prints: a row for every operator."""
    return [{**asdict(row), "domain": _domain(row)} for row in rows()]


def as_markdown() -> str:
    """The table as a Markdown page, under a heading and counts by domain."""
    lines = [
        "# Operators",
        "",
        f"The operators of onnx {onnx.__version__}, and what onnxruntime and this package add.",
        "",
        *(f"- {line}" for line in _counts()),
        "",
        _refused(),
        "",
        "| Operator | Domain | Coverage | How |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.operator} | {_domain(row)} | {row.coverage} | {_escaped(row.how)} |"
        for row in rows()
    ]
    return "\n".join(lines)


def print_operators(to: Console) -> None:
    """Print the table of operators, and counts by domain."""
    shown = table(to, "operator", "domain", "coverage", "how")
    for row in rows():
        shown.add_row(row.operator, _domain(row), row.coverage, row.how)
    show(to, shown)
    for line in (*_counts(), _refused()):
        to.print(line)


def _counts() -> list[str]:
    """A line per domain: how many operators are explained how."""
    counts: dict[str, Counter[str]] = {}
    for row in rows():
        counts.setdefault(_domain(row), Counter())[row.coverage] += 1
    return [
        f"{domain}: {', '.join(f'{n} {coverage}' for coverage, n in found.most_common())}"
        for domain, found in counts.items()
    ]


def _refused() -> str:
    """How many of the operators that stand in files are refused, and which."""
    found = [f"{_domain(row)} {row.operator}" for row in refused_in_files()]
    return (
        "Of ai.onnx, ai.onnx.ml and what optimisers write of com.microsoft and its .nchwc, "
        f"{len(found)} are refused: {', '.join(found)}."
    )


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _domain(row: OperatorCoverage) -> str:
    return row.domain or "ai.onnx"
