"""What explanations tell beside is told once, with how many rows it is about."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backtrace_onnx.audit import audit
from backtrace_onnx.audit.outputs.page import as_html
from backtrace_onnx.audit.outputs.tables import as_json, as_markdown, print_report
from backtrace_onnx.audit.row_notes import RowNote, join_notes, note_rows
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.report.safe_text import SafeConsole
from tests.audit.audited import linear, write_model


def test_notes_alike_but_for_numbers_are_one() -> None:
    notes = [
        Note("of all"),
        Note("a score, 0.12, is small", 0, warning=True),
        Note("a score, -3e-05, is small", 2, warning=True),
        Note("a score, 7, is small", 3, warning=True),
        Note("the same", 1),
    ]
    found = note_rows(notes, 3)
    assert found == (
        RowNote("a score, …, is small", 2, True),
        RowNote("of all", 3),
        RowNote("the same", 1),
    )
    again = join_notes([*found, *note_rows([Note("of all")], 5)])
    assert again[1] == RowNote("of all", 8)


def test_reports_tell_the_notes_of_explanations(tmp_path: Path, capsys: object) -> None:
    """Rows of zeros have a score of 0: relevance starts there, and explain says so."""
    model = write_model(tmp_path, linear())
    x = np.random.default_rng(0).normal(size=(9000, 4)).astype(np.float32)
    x[:3] = x[8999] = 0
    np.save(tmp_path / "x.npy", x)
    off = {"mode": "lrp", "checks": {"max-sensitivity": {"enabled": False}}}
    report = audit(model, str(tmp_path / "x.npy"), settings=off)
    (empty,) = [n for n in report.facts["notes"] if "starts at 0" in n["text"]]
    assert empty["rows"] == 4
    text = f"{empty['text']} (4 row(s))"
    console = SafeConsole(record=True, width=300)
    print_report(console, report)
    assert f"note: {text}" in console.export_text()
    assert f"- {text}" in as_markdown(report) and text in as_html(report)
    assert empty["text"] in as_json(report)
    whole = [n for n in report.facts["notes"] if n["rows"] == 9000]
    assert all(f"- {note['text']}\n" in as_markdown(report) for note in whole)
