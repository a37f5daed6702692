"""Which parts of the inputs matter most."""

from __future__ import annotations

from dataclasses import replace

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.group_ranking import grouped
from backtrace_onnx.report.input_parts import InputPart, parts_of_input


def rank(subject: ExplainedSample, input: str | None = None) -> list[InputPart]:
    """Parts of one input, or of all, by |relevance|, largest first.

    Inputs that are columns of a table are one input. Groups of entries are parts, where all inputs
    are ranked; entries that they hold are not told again.
    """
    names = _beside(subject, input) if input else _ranked(subject)
    if subject.groups and input is None:
        found = list(grouped(subject, names, parts_of_input))
    else:
        found = [part for name in names for part in parts_of_input(subject, name)]
    total = sum(abs(part.relevance) for part in found)
    shared = [replace(part, share=_share(part, total)) for part in found]
    return sorted(shared, key=lambda part: -abs(part.relevance))


def with_relevance(parts: list[InputPart]) -> list[InputPart]:
    """The parts of a ranking without the regions of pictures that hold no relevance.

    A column that got nothing is an answer and stays; all stay where none holds any.
    """
    found = [p for p in parts if p.box is None or p.relevance or any(p.channels)]
    return found or parts


def _ranked(subject: ExplainedSample) -> list[str]:
    """All inputs but those that only go with texts."""
    return [name for name in subject.explanation.inputs if name not in subject.companions]


def _beside(subject: ExplainedSample, name: str) -> list[str]:
    """An input, or all that are columns of the same table."""
    if not subject.is_column(name):
        return [name]
    return [other for other in _ranked(subject) if subject.is_column(other)]


def _share(part: InputPart, total: float) -> float:
    return abs(part.relevance) / total if total > 0 else 0.0
