"""Files of rules and expansions are found by themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest

import backtrace_onnx.expansions
import backtrace_onnx.rules
from backtrace_onnx.expansions.registry import find
from backtrace_onnx.rules.registry import lookup, unregister

FILES = {
    "plants.py": """
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Passes
from garden.tools import OPERATOR

@rule(OPERATOR, domain="test")
def found(op):
    \"\"\"Passes.\"\"\"
    return Passes()
""",
    "tools.py": 'OPERATOR = "Found"\n',
}


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose `__init__` is that of the rules, and the files above."""
    own = {"__init__.py": Path(backtrace_onnx.rules.__file__).read_text(), **FILES}
    folder = tmp_path / "garden"
    folder.mkdir()
    for name, text in own.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    unregister("Found", domain="test")
    for name in [name for name in sys.modules if name.partition(".")[0] == "garden"]:
        del sys.modules[name]


def test_a_file_is_found_by_itself(garden: Path) -> None:
    import_module("garden")
    assert lookup("test", "Found", 1) is not None
    assert "garden.tools" in sys.modules


def test_a_file_is_found_in_a_zipped_package(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = garden.parent / "garden.zip"
    with ZipFile(archive, "w") as written:
        for file in garden.iterdir():
            written.write(file, f"garden/{file.name}")
            file.unlink()
    garden.rmdir()
    monkeypatch.syspath_prepend(archive)
    import_module("garden")
    assert lookup("test", "Found", 1) is not None


def test_a_file_that_fails_is_an_error(garden: Path) -> None:
    (garden / "weeds.py").write_text("import a_module_that_nobody_has\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        import_module("garden")


@pytest.mark.parametrize("package", [backtrace_onnx.rules, backtrace_onnx.expansions])
def test_nothing_in_the_folders_is_left_out(package: object) -> None:
    name = str(package.__name__)  # type: ignore[attr-defined]
    files = Path(str(package.__file__)).parent.glob("[!_]*.py")  # type: ignore[attr-defined]
    assert {f"{name}.{file.stem}" for file in files} <= sys.modules.keys()


def test_the_files_of_both_are_registered() -> None:
    assert lookup("", "Relu", 1) is not None
    assert find("com.microsoft", "BiasGelu") is not None
