"""The support table: how every operator is explained."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from backtrace_onnx.coverage import Row, rows
from backtrace_onnx.report.console import show, table

if TYPE_CHECKING:
    from rich.console import Console


def as_records() -> list[dict[str, str]]:
    """A row per operator, as JSON values."""
    return [{**asdict(row), "domain": _domain(row)} for row in rows()]


def as_markdown() -> str:
    """The table in Markdown, under a heading and a line with the counts."""
    lines = [
        "# Operators",
        "",
        f"{_counts()}.",
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
    """The table for people."""
    shown = table(to, "operator", "domain", "coverage", "how")
    for row in rows():
        shown.add_row(row.operator, _domain(row), row.coverage, row.how)
    show(to, shown)
    to.print(_counts())


def _counts() -> str:
    counts = Counter(row.coverage for row in rows())
    return ", ".join(f"{count} {coverage}" for coverage, count in counts.most_common())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _domain(row: Row) -> str:
    return row.domain or "ai.onnx"
