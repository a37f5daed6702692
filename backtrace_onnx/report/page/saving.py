"""Pages of explanations that were made in Python, with what the model's sidecar says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.group_ranking import check_groups
from backtrace_onnx.report.page.explanation_page import explanation_page
from backtrace_onnx.report.page.page_facts import page_facts
from backtrace_onnx.report.page.writer import write_page
from backtrace_onnx.report.pictures import originals_of
from backtrace_onnx.report.stages import Flow, apart
from backtrace_onnx.results.group_members import Members

PathLike = str | os.PathLike[str]


def save_page(
    parts: Sequence[Explanation],
    path: PathLike,
    *,
    model: PathLike | None = None,
    sidecar: PathLike | None = None,
    picture: PathLike | None = None,
    groups: Members | None = None,
) -> None:
    """Write the page of explanations of one batch, one for each target, whole or not at all.

    Raises RequestError where it cannot be written or jinja2 is not installed, and InputError or
    ModelError for the other files.
    """
    meaning = Sidecar.load(sidecar) if sidecar else Sidecar.beside(Path(model)) if model else None
    known = meaning.groups if groups is None and meaning else groups
    shown = [_shown(part, meaning, known or {}) for part in parts]
    if picture is not None:
        original = Path(picture)
        shown = [replace(one, originals=originals_of(one, original)) for one in shown]
    count = shown[0].samples
    subjects = [
        replace(one, sample=sample, source=f"sample {sample + 1}" if count > 1 else "")
        for sample in range(count)
        for one in shown
    ]
    check_groups(subjects)
    facts = page_facts(None if model is None else Path(model), parts)
    write_page(Path(path), explanation_page(subjects, facts))


def _shown(part: Explanation, meaning: Sidecar | None, groups: Members) -> ExplainedSample:
    """The first sample of an explanation, what it kept of tensors inside apart from its inputs."""
    made, inner = apart(part)
    if meaning is not None:
        made = replace(made, names={**made.names, **meaning.names()})
    return ExplainedSample(made, sidecar=meaning, groups=groups, flow=Flow((), inner))


__all__ = ["save_page"]
