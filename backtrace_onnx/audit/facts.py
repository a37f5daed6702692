"""What a report is about: model, data, features, and what they were explained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtrace_onnx.audit.baseline import Baseline, accuracy, model_facts
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
        "features": _features(subject),
    }


def _features(subject: AuditedModel) -> list[dict[str, Any]]:
    """Mean |share| and mean share of each feature, the largest first."""
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
