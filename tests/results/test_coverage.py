"""The table of all operators."""

from __future__ import annotations

import ast
from pathlib import Path

import onnx
import pytest

from backtrace_onnx.commands.operators import as_markdown
from backtrace_onnx.expansions.optimised import OPTIMISED
from backtrace_onnx.results.coverage import refused_in_files, rows
from tests.versions import is_tested


@pytest.mark.parametrize("domain", ["", "ai.onnx.ml"])
def test_every_standard_operator_has_a_row(domain: str) -> None:
    standard = {s.name for s in onnx.defs.get_all_schemas() if s.domain == domain}
    assert standard == {row.operator for row in rows() if row.domain == domain} & standard


def test_every_row_says_how() -> None:
    for row in rows():
        assert row.how.strip().endswith("."), row
        assert row.coverage in ("exact", "nothing", "expanded", "refused")


def test_few_are_refused() -> None:
    if not (is_tested("onnx") and is_tested("onnxruntime")):
        pytest.skip("other operators are installed than those that were tested")
    assert not [row for row in rows() if row.coverage == "refused" and row.domain == ""]
    assert len(refused_in_files()) <= 10, refused_in_files()


def test_what_the_optimiser_of_transformers_writes_is_counted() -> None:
    package = pytest.importorskip("onnxruntime.transformers.constants", reason="not installed")
    folder = Path(package.__file__).parent
    named = {
        found.value
        for path in (folder / "constants.py", *folder.glob("fusion_*.py"))
        if path.name != "fusion_options.py"  # that lists what it could write elsewhere
        for found in ast.walk(ast.parse(path.read_text()))
        if isinstance(found, ast.Constant) and isinstance(found.value, str)
    }
    theirs = {row.operator for row in rows() if row.domain == "com.microsoft"}
    standard = {row.operator for row in rows() if row.domain == ""}
    assert len(OPTIMISED & named) > 15
    assert (named & theirs) - standard <= OPTIMISED
    assert theirs >= OPTIMISED


def test_the_documented_table_is_this_one() -> None:
    document = Path(__file__).parents[2] / "docs" / "operators.md"
    if f"onnx {onnx.__version__}," not in document.read_text():
        pytest.skip(f"the table is not of onnx {onnx.__version__}")
    remedy = "run `backtrace-onnx ops --markdown > docs/operators.md`"
    assert document.read_text() == as_markdown() + "\n", remedy
