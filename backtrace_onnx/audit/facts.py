"""What a report is about: model, data, features, and what they were explained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtrace_onnx.audit.baseline import Baseline, accuracy, model_facts
from backtrace_onnx.audit.row_notes import RowNote, join_notes
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.graph.input_checking import spell
from backtrace_onnx.provenance import versions


def find_facts(
    subject: AuditedModel, baselines: Sequence[Baseline], models: Sequence[AuditedModel]
) -> dict[str, Any]:
    """The facts, as JSON values; keys are those of `ReportRecord`."""
    whole, graph = subject.whole, subject.explainer.graph
    return {
        "model": {
            **model_facts(subject).model_dump(),
            "inputs": [{"name": n, "type": spell(graph.type(n))} for n in graph.inputs],
            "outputs": [{"name": n, "type": spell(graph.type(n))} for n in graph.outputs],
        },
        "data": {"sha256": subject.data.sha256, "rows": subject.data.count},
        "mode": whole.first.mode,
        "task": whole.first.task,
        "output": whole.first.output,
        "seed": subject.seed,
        "settings": subject.settings.model_dump(mode="json"),
        "sidecar": None,
        "comparing": False,
        "versions": {**versions()},
        "baselines": [{"name": None, "sha256": one.model.sha256} for one in baselines],
        "baseline_models": [
            {"name": str(m.model), "sha256": model_facts(m).sha256} for m in models
        ],
        "accuracy": accuracy(subject),
        "labelled": _labelled(subject),
        "notes": [{"text": note.text, "rows": note.rows} for note in find_notes(subject)],
        "features": _features(subject),
    }


def _labelled(subject: AuditedModel) -> int | None:
    """How many rows have a label; None where none is asked for."""
    given = subject.data.labels
    return None if given is None else int((given != "").sum())


def find_notes(subject: AuditedModel) -> tuple[RowNote, ...]:
    """What explanations of the rows tell beside, what was assumed in reading, what rows lack."""
    data, made = subject.data, [*subject.whole.notes]
    made += [RowNote(text, data.count) for text in data.notes]
    lacking = [] if data.labels is None else [("label", "do not count for accuracy", data.labels)]
    lacking += [(repr(name), "are in no group", own) for name, own in data.groups.items()]
    lacking += [(repr(name), "are told by their number", own) for name, own in data.ids.items()]
    for name, so, column in lacking:
        count = int((column == "").sum())
        if count:
            made.append(RowNote(f"rows without {name} {so}", count))
    return join_notes(made)


def _features(subject: AuditedModel) -> list[dict[str, Any]]:
    """Mean |share| and mean share of each feature, the largest first; none of places in texts."""
    if subject.features.in_texts:
        return []
    shares = subject.whole.shares
    sizes, signed = np.abs(shares).mean(0), shares.mean(0)
    return [
        {
            "name": subject.features.names[i],
            "share": round(float(sizes[i]), 6),
            "signed": round(float(signed[i]), 6),
        }
        for i in np.argsort(-sizes, kind="stable").tolist()
    ]


__all__ = ["find_facts"]
