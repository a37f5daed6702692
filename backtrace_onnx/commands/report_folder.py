"""What `--out` keeps: pictures, the arrays and the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from backtrace_onnx.commands.output_folder import REPORT, whole_folder
from backtrace_onnx.report.attention_picture import plot_attention
from backtrace_onnx.report.continuation import continuation, plot_continuation
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.identical_maps import find_same_pictures
from backtrace_onnx.report.json_report import record
from backtrace_onnx.report.pictures import plot_layers, plot_relevance
from backtrace_onnx.report.shaded_text import page

PAGE = "relevance.html"
DRAWN = 16  # samples that get pictures


def write_folder(
    model: str,
    subjects: Sequence[ExplainedSample],
    out: Path,
    *,
    top: int,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Write pictures, arrays and report.json into a folder, all or nothing, and return the files.

    Raises RequestError where they cannot be written there.
    """
    shown = subjects[:DRAWN]
    with whole_folder(out) as folder:
        names = _save(subjects, folder)
        written = continuation(subjects)
        if written:
            plot_continuation(written, folder / "relevance.png")
            names.append("relevance.png")
        if subjects[0].read_texts:
            (folder / PAGE).write_text(page(subjects), "utf-8")
            names.append(PAGE)
        same_pictures = find_same_pictures(shown)
        for i, subject in enumerate(() if written else shown):
            if same_pictures[i] is not None:
                continue
            mark = f"_{i + 1}" if len(subjects) > 1 else ""
            plot_relevance(subject, folder / f"relevance{mark}.png")
            names.append(f"relevance{mark}.png")
            if subject.attention:
                plot_attention(subject, subject.attention, folder / f"attention{mark}.png")
                names.append(f"attention{mark}.png")
            if _flows(subject):
                plot_layers(subject, folder / f"layers{mark}.png")
                names.append(f"layers{mark}.png")
            progress(i + 1, len(shown))
        files = [str(out / name) for name in [REPORT, *names]]
        about = record(model, subjects, top=top, files=files)
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        (folder / REPORT).write_text(text, "utf-8")
    return files


def _flows(subject: ExplainedSample) -> bool:
    """Whether something that is conserved flows from node to node."""
    explanation = subject.explanation
    return explanation.conserved != "nothing" and len(explanation.ledger) > 0


def _save(subjects: Sequence[ExplainedSample], folder: Path) -> list[str]:
    """The explanations as .npz, one for each that was made."""
    made = {id(subject.explanation): subject.explanation for subject in subjects}
    names = []
    for i, explanation in enumerate(made.values()):
        mark = f"_{i + 1}" if len(made) > 1 else ""
        explanation.save(folder / f"explanation{mark}.npz")
        names.append(f"explanation{mark}.npz")
    return names
