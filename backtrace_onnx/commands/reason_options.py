"""What `explain --reasons` adds: people's own sentences against an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from backtrace_onnx.errors import RequestError

if TYPE_CHECKING:
    from backtrace_onnx.audit.reason_columns import ReasonColumns
    from backtrace_onnx.commands.explain_options import ExplainOptions
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.report.console import Waiting
    from backtrace_onnx.report.explained_sample import ExplainedSample


def with_reasons(
    asked: ExplainOptions,
    subjects: Sequence[ExplainedSample],
    sidecar: Sidecar | None,
    waiting: Waiting,
) -> list[ExplainedSample]:
    """The samples, each with its reasons where they are asked for. Raises BacktraceError."""
    if asked.reasons is None:
        return list(subjects)
    _need_pydantic()
    from backtrace_onnx.audit.reason_texts import read_reasons
    from backtrace_onnx.audit.reasons import find_reasons
    from backtrace_onnx.audit.settings import AuditSettings
    from backtrace_onnx.audit.subject import AuditedModel
    from backtrace_onnx.commands.reference_options import references

    texts = read_reasons(asked.reasons)
    task = subjects[0].explanation.task
    if task not in ("classification", "regression"):
        raise RequestError(f"--reasons takes classifications and regressions, and this is a {task}")
    waiting.say("Finding reasons")
    how = {"mode": asked.mode, "output": asked.output, "task": task}
    settings = AuditSettings.model_validate(how)
    files = tuple(map(str, asked.inputs))
    subject = AuditedModel(asked.model, files, settings, sidecar)
    subject.compared = references(asked, subject.explainer.graph, sidecar)
    given = find_reasons(subject, texts)
    if len(given) != len(subjects):
        raise RequestError("--reasons goes without several targets for each sample")
    return [replace(s, reasons=one) for s, one in zip(subjects, given, strict=True)]


def reason_columns(path: Path) -> ReasonColumns:
    """Reasons as columns of a data set's results. Raises BacktraceError."""
    _need_pydantic()
    from backtrace_onnx.audit.reason_columns import ReasonColumns

    return ReasonColumns(path)


def _need_pydantic() -> None:
    if find_spec("pydantic") is None:
        raise RequestError("--reasons needs pydantic: pip install 'backtrace-onnx[audit]'")


__all__ = ["reason_columns", "with_reasons"]
