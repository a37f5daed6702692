"""The table of all operators."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from backtrace_onnx.coverage import rows
from backtrace_onnx.report.operators import as_markdown


@pytest.mark.parametrize("domain", ["", "ai.onnx.ml"])
def test_every_standard_operator_has_a_row(domain: str) -> None:
    standard = {s.name for s in onnx.defs.get_all_schemas() if s.domain == domain}
    assert standard == {row.operator for row in rows() if row.domain == domain} & standard


def test_every_row_says_how() -> None:
    for row in rows():
        assert row.how.strip().endswith("."), row
        assert row.coverage in ("exact", "nothing", "expanded", "refused")


def test_few_are_refused() -> None:
    refused = [row for row in rows() if row.coverage == "refused" and row.domain == ""]
    assert len(refused) <= 10, refused


def test_the_documented_table_is_this_one() -> None:
    document = Path(__file__).parents[1] / "docs" / "operators.md"
    if f"onnx {onnx.__version__}," not in document.read_text():
        pytest.skip(f"the table is not of onnx {onnx.__version__}")
    remedy = "run `backtrace-onnx ops --markdown > docs/operators.md`"
    assert document.read_text() == as_markdown() + "\n", remedy
