"""Pages of explanations that were made in Python, with what the model's sidecar says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.provenance import options_of
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.group_ranking import check_groups
from backtrace_onnx.report.page.explanation_page import explanation_page
from backtrace_onnx.report.page.page_facts import page_facts
from backtrace_onnx.report.page.writer import write_page
from backtrace_onnx.report.pictures import originals_of
from backtrace_onnx.report.stages import Flow, NetworkStage, apart, stages_of
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

    With the model that made them the page has what the command line shows: its stages, with the
    relevance that these hand on, for which it is explained once more, and its rules.

    Raises RequestError where it cannot be written or jinja2 is not installed, and InputError or
    ModelError for the other files.
    """
    meaning = Sidecar.load(sidecar) if sidecar else Sidecar.beside(Path(model)) if model else None
    known = meaning.groups if groups is None and meaning else groups
    explainer = None if model is None else Explainer(model, on_unsupported="stop")
    shown = [_shown(part, meaning, known or {}, explainer) for part in parts]
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
    support = () if explainer is None else explainer.support()
    facts = page_facts(None if model is None else Path(model), parts, support=support)
    write_page(Path(path), explanation_page(subjects, facts))


def _shown(
    part: Explanation, meaning: Sidecar | None, groups: Members, explainer: Explainer | None
) -> ExplainedSample:
    """The first sample of an explanation, what it kept of tensors inside apart from its inputs."""
    made, inner = apart(part)
    stages = () if explainer is None else stages_of(explainer, part.output)
    if explainer is not None and not inner:
        inner = _handed(part, explainer, stages)
    if meaning is not None:
        made = replace(made, names={**made.names, **meaning.names()})
    names = () if explainer is None else explainer.class_labels
    flow = Flow(stages, inner)
    return ExplainedSample(made, sidecar=meaning, groups=groups, flow=flow, class_names=names)


def _handed(
    part: Explanation, explainer: Explainer, stages: Sequence[NetworkStage]
) -> dict[str, npt.NDArray[Any]]:
    """Relevance of what stages hand on, of the same explanation made again; {} where it cannot."""
    origin, names = part.origin, [name for stage in stages for name in stage.handed]
    if not names or not origin or origin["lost"]:
        return {}
    if origin["model"]["sha256"] != explainer._identity["sha256"]:
        return {}
    options = {k: v for k, v in options_of(origin).items() if k not in ("targets", "keep")}
    made: Explanation = explainer.explain(dict(part.inputs), **options, keep=names)
    return apart(made)[1]


__all__ = ["save_page"]
