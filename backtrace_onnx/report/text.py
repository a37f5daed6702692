"""What people read: the answer, what it rests on, and where relevance went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.console import show, table
from backtrace_onnx.report.continuing import continuation, print_continuation
from backtrace_onnx.report.ranking import Part, is_picture, rank, with_relevance
from backtrace_onnx.report.record import balance
from backtrace_onnx.report.shaded import lines
from backtrace_onnx.report.subject import NAMED, Subject
from backtrace_onnx.report.twins import find_twins, in_words

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 5  # samples that are printed


def print_subjects(
    to: Console, subjects: Sequence[Subject], *, top: int, files: Sequence[str]
) -> None:
    """Print the first samples, and which files were written."""
    written = continuation(subjects)
    if written:
        print_continuation(to, written)
    shown = () if written else subjects[:SHOWN]
    for subject, twin in zip(shown, find_twins(shown), strict=True):
        _print_subject(to, subject, top, twin)
    if len(subjects) > SHOWN and not written:
        rest = len(subjects) - SHOWN
        to.print(f"... and {rest} more sample(s); --json prints all, --out DIR keeps all")
    for file in files:
        to.print(f"wrote {file}")


def headline(subject: Subject) -> str:
    """One line: the sample, the model's answer, and what is explained."""
    source = f"{subject.source}: " if subject.source else ""
    return source + answered(subject)


def answered(subject: Subject) -> str:
    """The model's answer, and what is explained if that is something else."""
    mask, prediction, target = subject.mask, subject.prediction(), subject.target()
    if mask is not None:
        inside = int(mask.sum())
        share = percent(inside / mask.size)
        whole = f"{inside} of {mask.size} entries over {subject.threshold:g} ({share})"
        return whole + _classes(subject)
    if prediction is None:
        return f"tensor {subject.explanation.output}"
    if other := subject.other():
        return f"{target} rather than {other}; predicted: {prediction}"
    single = subject.output is not None and subject.output.size == 1
    if subject.task not in NAMED or (single and not subject.explanation.binary):
        return _values(subject)
    if target is None or target.index == prediction.index:
        return f"{prediction}"
    return f"{prediction}; explained: {target}"


def _classes(subject: Subject) -> str:
    """The classes of a segmentation's entries, where the sidecar names them: largest first."""
    counts = subject.masked()
    return f": {', '.join(f'{name} {count}' for name, count in counts[:3])}" if counts else ""


def _values(subject: Subject) -> str:
    """The entries of the output in numbers, by the sidecar's words where it has some."""
    y, name = subject.output, subject.explanation.output
    if y is None:
        return name
    target, labels = subject.target(), subject.meaning.labels
    if target is not None and y.size > 1:
        return f"{target.label or f'{name}[{_place(target.index)}]'} = {target.value:.5g}"
    values = [f"{v:.5g}" for v in y.ravel()[:6]]
    more = ", ..." if y.size > 6 else ""
    if len(labels) == y.size:
        return ", ".join(f"{k} = {v}" for k, v in zip(labels, values, strict=False)) + more
    return f"{name} = {', '.join(values)}{more}"


def _place(index: Sequence[int]) -> str:
    return ", ".join(map(str, index))


def _print_subject(to: Console, subject: Subject, top: int, twin: int | None) -> None:
    from rich.text import Text

    to.print(Text(headline(subject), style="bold"))
    for warning in subject.warnings:
        to.print(Text(f"warning: {warning}", style="bold red"))
    to.print(f"explained: output {subject.explanation.output}, mode {subject.explanation.mode}")
    for note in subject.notes[len(subject.warnings) :]:
        to.print(Text(f"note: {note}"))
    if twin is not None:
        to.print(in_words(twin))
    to.print()
    if twin is not None:
        return
    for name in subject.texts:
        for line in lines(subject, name):
            to.print(line)
        to.print()
    _print_parts(to, subject, top)
    to.print()
    _print_balance(to, subject)
    to.print()


def _print_parts(to: Console, subject: Subject, top: int) -> None:
    ranked = rank(subject)
    parts = with_relevance(ranked)
    if not any(np.any(r) for r in subject.explanation.relevance.values()):
        to.print("No relevance reaches the inputs; `backtrace-onnx inspect` shows where it ends.")
        return
    channels = [name for name, _ in subject.channels] if len(subject.channels) > 1 else []
    inputs = {part.input for part in parts if part.members is None}
    several = len(inputs) > 1 and not all(map(subject.is_column, inputs))
    head = ["input"] if several else []
    columns = [*head, _kind(subject), "relevance", "share", *channels]
    rows = table(to, *columns, right=tuple(range(len(head) + 1, len(columns))))
    for part in parts[:top]:
        own = [f"{r:+.4g}" for r in part.channels] if channels else []
        lead = ["group" if part.members is not None else part.input] if several else []
        rows.add_row(*lead, str(part), _signed(part), percent(part.share), *own)
    show(to, rows)
    if len(parts) > top:
        rest = sum(part.share for part in parts[top:])
        to.print(f"... and {len(parts) - top} more, share {percent(rest)}")
    if len(ranked) > len(parts):
        to.print("The rest got nothing.")


def _kind(subject: Subject) -> str:
    if subject.groups:
        return "group or part"
    names = list(subject.explanation.inputs)
    pictures = [is_picture(subject, name) for name in names]
    if subject.texts:
        return "word" if subject.words else "token"
    return "region" if all(pictures) else "part" if any(pictures) else "feature"


def _signed(part: Part) -> str:
    return f"{part.relevance:+.4g}"


def _print_balance(to: Console, subject: Subject) -> None:
    for channel, amounts in balance(subject).items():
        of = f" ({channel})" if len(subject.channels) > 1 else ""
        rows = table(to, f"where relevance went{of}", "amount", "share", right=(1, 2))
        for kind in ("inputs", "constants", "unassigned"):
            rows.add_row(_KINDS[kind], *_amount(amounts[kind], amounts["start"]))
        rows.add_row("start", *_amount(amounts["start"], amounts["start"]))
        show(to, rows)
    if subject.explanation.ledger.mixed:
        to.print("The model mixes samples; this is the sample's even part of the whole batch.")


_KINDS = {
    "inputs": "the inputs",
    "constants": "biases and constants",
    "unassigned": "unassigned",
}


def _amount(value: float, start: float) -> tuple[str, str]:
    tiny = abs(value) <= 1e-6 * abs(start)
    text = "0" if tiny else f"{value:.4g}"
    return text, "-" if start == 0 else "0.0%" if tiny else percent(value / start)
