"""What docs/audit.md says of the checks is so."""

from __future__ import annotations

import re
from pathlib import Path

from backtrace_onnx.audit.checks.catalogue import CHECKS
from backtrace_onnx.audit.settings import AuditSettings, CheckSettings, ModelCard, TopFeatures

TEXT = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")


def table() -> list[str]:
    """The rows of the table of checks, as they must be."""
    return [
        f"| `{c.id}` | {c.question} | {c.better} {c.threshold:g} | {c.source} | {c.severity} | "
        f"{c.rows or 'all'} |"
        for c in CHECKS
    ]


def test_every_check_stands_in_the_table() -> None:
    section = TEXT.partition("\n## Checks\n")[2].partition("\n## ")[0]
    assert [row for row in section.splitlines() if row.startswith("| `")] == table()


def test_every_setting_stands_in_the_table() -> None:
    section = TEXT.partition("\n## Settings\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`\.?((?:\w+\.)*(\w+))`", section.partition("|---|")[2]))
    last = {name for _, name in named}
    sections = (AuditSettings, TopFeatures, ModelCard, CheckSettings)
    keys = {key for section in sections for key in section.model_fields}
    assert keys - {"checks", "top_features", "model_card"} <= last
