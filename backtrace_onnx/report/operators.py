"""The support table: every operator with a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtrace_onnx import rules
from backtrace_onnx.registry import Rule
from backtrace_onnx.registry import rules as registered
from backtrace_onnx.report.console import show, table

if TYPE_CHECKING:
    from rich.console import Console

_ = rules  # registers the rules


def as_records() -> list[dict[str, str | int]]:
    """A row per rule, as JSON values."""
    return [
        {"domain": _domain(r), "operator": r.op_type, "since": r.since, "rule": r.summary}
        for r in registered()
    ]


def as_markdown() -> str:
    """The table in Markdown."""
    lines = ["| Operator | Domain | From opset | Rule |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {r.op_type} | {_domain(r)} | {r.since} | {r.summary.replace('|', chr(92) + '|')} |"
        for r in registered()
    ]
    return "\n".join(lines)


def print_operators(to: Console) -> None:
    """The table for people."""
    rows = table(to, "operator", "domain", "from opset", "rule", right=(2,))
    count = 0
    for rule in registered():
        rows.add_row(rule.op_type, _domain(rule), str(rule.since), rule.summary)
        count += 1
    show(to, rows)
    to.print(f"{count} rules; operators without one are expanded where ONNX defines a body.")


def _domain(rule: Rule) -> str:
    return rule.domain or "ai.onnx"
