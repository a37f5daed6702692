"""Functions and files stay short enough to be read in one look."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTION, FILE = 50, 300
PACKAGE = [*ROOT.glob("backtrace_onnx/**/*.py"), *ROOT.glob("exporters/**/*.py")]
BESIDE = [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("tests/**/*.py")]


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """Where every function stands; its lines with signature and docstring; those of decorators."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            above = node.lineno - min((d.lineno for d in node.decorator_list), default=node.lineno)
            where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield where, node.end_lineno - node.lineno + 1, above


def test_functions_of_the_package_have_at_most_50_lines_with_their_decorators() -> None:
    assert len(PACKAGE) > 400
    lines = {where: own + above for path in PACKAGE for where, own, above in functions(path)}
    assert not {where: count for where, count in lines.items() if count > FUNCTION}


def test_functions_of_tests_and_scripts_have_at_most_50_lines_beside_tables_of_cases() -> None:
    """Decorators are tables here: the cases of a test."""
    lines = {where: own for path in BESIDE for where, own, _ in functions(path)}
    assert not {where: count for where, count in lines.items() if count > FUNCTION}


def test_files_of_the_package_have_at_most_300_lines() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in PACKAGE}
    assert not {str(path): count for path, count in lines.items() if count > FILE}
