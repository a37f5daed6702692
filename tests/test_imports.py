"""Who may import whom, as pyproject.toml lists it."""

from __future__ import annotations

from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent


def test_a_folder_imports_only_what_lies_below(capsys) -> None:  # type: ignore[no-untyped-def]
    status = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out
