"""What CONTRIBUTING.md shows how to add works as it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backtrace_onnx import policies
from backtrace_onnx.expansions import registry as expansions
from backtrace_onnx.rules import registry as rules

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", GUIDE, re.MULTILINE | re.DOTALL))
KINDS = (
    *("An operator", "An expansion", "A policy", "A nonlinearity"),
    *("A pass", "A check of an audit", "A picture", "An exporter", "A kernel"),
)


def test_every_kind_of_addition_is_shown() -> None:
    assert tuple(SECTIONS) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_works(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section's blocks run one after another, and what they register is forgotten again."""
    monkeypatch.chdir(tmp_path)
    kept = {key: dict(versions) for key, versions in rules._RULES.items()}
    monkeypatch.setattr(rules, "_RULES", kept)
    monkeypatch.setattr(expansions, "_EXPANSIONS", dict(expansions._EXPANSIONS))
    monkeypatch.setattr(policies, "POLICIES", dict(policies.POLICIES))
    blocks = re.findall(r"```python\n(.*?)```", SECTIONS[kind], re.DOTALL)
    assert len(blocks) == 2, "the addition, and what shows that it is right"
    names: dict[str, Any] = {"__name__": "contributing"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"CONTRIBUTING.md, {kind}, block {number}", "exec"), names)
