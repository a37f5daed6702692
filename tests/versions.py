"""Which versions of dependencies are installed: those that were tested, or others."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

CONSTRAINTS = Path(__file__).parents[1] / "scripts" / "constraints.txt"


def tested() -> list[Requirement]:
    """The tested set: one version of every package, some with markers."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def is_tested(package: str) -> bool:
    """Whether the installed version is the tested one: only of that all must be known."""
    installed = version(package)
    return any(
        pin.name == package and pin.specifier.contains(installed, prereleases=True)
        for pin in tested()
        if pin.marker is None or pin.marker.evaluate()
    )
