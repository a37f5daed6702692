"""What scripts/stories share: a story that does not hold ends with exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.audit.audited import linear, write_model, write_rows

STORIES = Path(__file__).parents[1] / "scripts" / "stories"
LEAKED = [(2.0, -2.0), (1.0, -1.0), (0.5, -0.5), (3.0, -3.0)]


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(STORIES))
    monkeypatch.setattr(sys, "argv", ["story"])
    yield import_module("telling")
    sys.modules.pop("telling")


def test_a_story_compares_by_the_command_line_and_says_what_does_not_hold(
    telling: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """The report is that of the command; only checks of reasons that fail are named as such."""
    reports: list[Any] = []

    def story(told: Any) -> list[str]:
        rows = write_rows(told.folder, 50)
        for name, weights in (("old", [*LEAKED[:3], (0, 0)]), ("new", LEAKED)):
            write_model(told.folder, linear(weights), name)
        reports.append(told.run("compare", "old.onnx", "new.onnx", "--data", rows, name="one"))
        told.claim("it is stopped", reports[0]["exit_code"] == 1)
        told.claim("the old and the new are one", not telling.failed(reports[0]))
        return []

    assert telling.tell(story, "a story") == 1
    said = capfd.readouterr().out
    assert "holds: it is stopped" in said and "DOES NOT HOLD: the old and the new" in said
    assert "share-drift" in telling.failed(reports[0]) & {*telling.REASONS}
    table = telling.beside(reports[0], reports[0], ["input-drift", "accuracy"])
    assert "| `input-drift` | passed: 0 (at most 0.1) | passed" in table
    assert "| `accuracy` | skipped | skipped |" in table


def test_a_story_that_holds_ends_with_0(telling: Any) -> None:
    def story(told: Any) -> list[str]:
        told.claim("so it is", True)
        return []

    assert telling.tell(story, "a story") == 0
