"""What is installed is what there is."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tests import versions

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "backtrace_onnx").rglob("__init__.py")
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == found | {"backtrace_onnx.exporters"}


def test_every_requirement_has_a_tested_version() -> None:
    """Else scripts and CI install whatever is new, and say that it was tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = (project["dependencies"], *project["optional-dependencies"].values())
    wanted = {Requirement(line).name for group in groups for line in group}
    assert wanted - {pin.name for pin in versions.tested()} == {project["name"]}
