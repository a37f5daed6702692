"""What a report prints, beside the page."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from backtrace_onnx.audit.outputs.page import as_html
from backtrace_onnx.audit.outputs.tables import as_markdown, print_report
from tests.audit.audited import audit, linear, write_model, write_rows


def test_what_was_not_checked_is_told_by_its_reason(tmp_path: Path) -> None:
    """In the terminal, in Markdown and on the page: a reason once, with all that it keeps back."""
    report = audit(write_model(tmp_path, linear()), write_rows(tmp_path))
    held = report.skipped["no --baseline-model is given"]
    assert held == ["answers-kept", "sample-drift", "sample-top-features", "layer-drift"]
    assert len(report.ran) + sum(map(len, report.skipped.values())) == len(report.findings)
    told = StringIO()
    print_report(Console(file=told, width=500), report)
    for text in (told.getvalue(), as_markdown(report), as_html(report)):
        assert text.count("no --baseline-model is given") == 1
        assert ", ".join(held) in text
        assert all(finding.check.id in text for finding in report.findings)
