"""What `explain --reasons` adds: people's own sentences against an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.sidecar import meaning_of
from backtrace_onnx.messages.notes import Note

if TYPE_CHECKING:
    from backtrace_onnx.audit.comparison import Comparison
    from backtrace_onnx.audit.reason_columns import ReasonColumns
    from backtrace_onnx.audit.reason_texts import ReasonTexts
    from backtrace_onnx.audit.subject import AuditedModel
    from backtrace_onnx.commands.explain_options import ExplainOptions
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.report.console import Waiting
    from backtrace_onnx.report.explained_sample import ExplainedSample


@dataclass(frozen=True)
class AskedReasons:
    """Sentences, the model and its rows, and what these are compared with."""

    texts: ReasonTexts
    subject: AuditedModel
    comparison: Comparison

    @property
    def options(self) -> Mapping[str, Any]:
        """What of `Explainer.explain`'s arguments the comparison decides."""
        return self.comparison.options

    def given(self, subjects: Sequence[ExplainedSample]) -> list[ExplainedSample]:
        """The samples, each with its reasons. Raises BacktraceError."""
        from backtrace_onnx.audit.reasons import find_reasons

        given = find_reasons(self.subject, self.texts, comparison=self.comparison)
        if len(given) != len(subjects):
            raise RequestError("--reasons goes without several targets for each sample")
        note = Note(self.comparison.told, warning=self.comparison.warning)
        return [
            replace(
                sample,
                reasons=one,
                explanation=replace(sample.explanation, notes=(*sample.explanation.notes, note)),
            )
            for sample, one in zip(subjects, given, strict=True)
        ]


def asked_reasons(
    asked: ExplainOptions, sidecar: Sidecar | None, waiting: Waiting
) -> AskedReasons | None:
    """What --reasons asks for; None where it is not there. Raises BacktraceError."""
    if asked.reasons is None:
        return None
    _need_pydantic()
    from backtrace_onnx.audit.comparison import find_comparison
    from backtrace_onnx.audit.reason_texts import read_reasons
    from backtrace_onnx.audit.settings import AuditSettings
    from backtrace_onnx.audit.subject import AuditedModel
    from backtrace_onnx.commands.reference_options import references

    texts = read_reasons(asked.reasons)
    task = asked.task or meaning_of(sidecar, asked.output or "").task
    if task not in (None, "classification", "regression"):
        raise RequestError(f"--reasons takes classifications and regressions, and this is a {task}")
    _check_columns(tuple(map(str, asked.inputs)), sidecar)
    waiting.say("Finding what reasons compare with")
    how = {"mode": asked.mode, "output": asked.output, "task": task}
    settings = AuditSettings.model_validate(how)
    subject = AuditedModel(asked.model, tuple(map(str, asked.inputs)), settings, sidecar)
    subject.compared = references(asked, subject.explainer.graph, sidecar)
    return AskedReasons(texts, subject, find_comparison(subject))


def reason_columns(path: Path) -> ReasonColumns:
    """Reasons as columns of a data set's results. Raises BacktraceError."""
    _need_pydantic()
    from backtrace_onnx.audit.reason_columns import ReasonColumns

    return ReasonColumns(path)


def _check_columns(arguments: Sequence[str], sidecar: Sidecar | None) -> None:
    """Raise RequestError for a text, typed or of a file: its words are no columns."""
    from backtrace_onnx.text.arguments import read_texts
    from backtrace_onnx.text.inputs import TextInput

    inputs = sidecar.inputs if sidecar else {}
    entries = [name for name, entry in inputs.items() if isinstance(entry, TextInput)]
    for argument in arguments:
        found = read_texts(argument, entries, tuple(inputs)) if entries else None
        if found is not None or (not entries and _is_typed(argument)):
            raise RequestError(
                f"--reasons takes rows of columns, from a file, and {argument!r} is a text: "
                "reasons are sentences about columns, which a text has not. Without --reasons its "
                "words are ranked"
            )


def _is_typed(argument: str) -> bool:
    """Whether an argument can be no file, folder, pattern or URL."""
    from backtrace_onnx.data.remote_files import is_url

    named = {argument, argument.partition("=")[2] or argument}
    if any(mark in argument for mark in "*[") or any(is_url(one) for one in named):
        return False
    return all(
        not Path(one).exists() and (len(one.split()) != 1 or not Path(one).suffix) for one in named
    )


def _need_pydantic() -> None:
    if find_spec("pydantic") is None:
        raise RequestError("--reasons needs pydantic: pip install 'backtrace-onnx[audit]'")


__all__ = ["AskedReasons", "asked_reasons", "reason_columns"]
