"""The model's answer in one line, and what of it is explained."""

from __future__ import annotations

from collections.abc import Sequence

from backtrace_onnx.report.answers import explained_answer, percent, predicted_answer, rival_answer
from backtrace_onnx.report.explained_sample import NAMED, ExplainedSample


def headline(subject: ExplainedSample) -> str:
    """One line: the sample, the model's answer, and what is explained."""
    source = f"{subject.source}: " if subject.source else ""
    return source + answered(subject)


def answered(subject: ExplainedSample) -> str:
    """The model's answer, and what is explained if that is something else."""
    mask, prediction, target = subject.mask, predicted_answer(subject), explained_answer(subject)
    if mask is not None:
        inside = int(mask.sum())
        share = percent(inside / mask.size)
        whole = f"{inside} of {mask.size} entries over {subject.threshold:g} ({share})"
        return whole + _classes(subject)
    if prediction is None:
        return f"tensor {subject.explanation.output}"
    if other := rival_answer(subject):
        return f"{target} rather than {other}; predicted: {prediction}"
    single = subject.output is not None and subject.output.size == 1
    if subject.task not in NAMED or (single and not subject.explanation.binary):
        return _values(subject)
    if target is None or target.index == prediction.index:
        return f"{prediction}"
    return f"{prediction}; explained: {target}"


def _classes(subject: ExplainedSample) -> str:
    """The classes of a segmentation's entries, where the sidecar names them: largest first."""
    counts = subject.masked()
    return f": {', '.join(f'{name} {count}' for name, count in counts[:3])}" if counts else ""


def _values(subject: ExplainedSample) -> str:
    """The entries of the output in numbers, by the sidecar's words where it has some."""
    y, name = subject.output, subject.explanation.output
    if y is None:
        return name
    target, labels = explained_answer(subject), subject.meaning.labels
    if target is not None and y.size > 1:
        return f"{target.label or f'{name}[{_place(target.index)}]'} = {target.value:.5g}"
    values = [f"{v:.5g}" for v in y.ravel()[:6]]
    more = ", ..." if y.size > 6 else ""
    if len(labels) == y.size:
        return ", ".join(f"{k} = {v}" for k, v in zip(labels, values, strict=False)) + more
    return f"{name} = {', '.join(values)}{more}"


def _place(index: Sequence[int]) -> str:
    return ", ".join(map(str, index))
