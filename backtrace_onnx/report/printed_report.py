"""What people read: the answer, what it rests on, and where relevance went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backtrace_onnx.messages.notes import about
from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.console import show, table
from backtrace_onnx.report.continuation import continuation, print_continuation
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.given_reasons import print_reasons
from backtrace_onnx.report.headlines import headline
from backtrace_onnx.report.identical_maps import find_same_maps, in_words
from backtrace_onnx.report.input_kinds import is_picture
from backtrace_onnx.report.input_parts import InputPart
from backtrace_onnx.report.json_report import balance
from backtrace_onnx.report.ranking import rank, with_relevance
from backtrace_onnx.report.shaded_text import lines
from backtrace_onnx.report.signed_amounts import signed

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 5  # samples that are printed


def print_samples(
    to: Console, subjects: Sequence[ExplainedSample], *, top: int, files: Sequence[str]
) -> None:
    """Print the first samples, and which files were written."""
    written = continuation(subjects)
    if written:
        print_continuation(to, written)
    shown = () if written else subjects[:SHOWN]
    for subject, same_as in zip(shown, find_same_maps(shown), strict=True):
        _print_subject(to, subject, top, same_as)
    if len(subjects) > SHOWN and not written:
        rest = len(subjects) - SHOWN
        to.print(f"... and {rest} more sample(s); --json prints all, --out DIR keeps all")
    for file in files:
        to.print(f"wrote {file}")


def _print_subject(to: Console, subject: ExplainedSample, top: int, same_as: int | None) -> None:
    from rich.text import Text

    to.print(Text(headline(subject), style="bold"))
    for warning in subject.warnings:
        to.print(Text(f"warning: {warning}", style="bold red"))
    told = about(subject.explanation.notes, subject.sample, warning=False, first=True)
    for note in told:
        to.print(Text(f"note: {note}", style="yellow"))
    explanation = subject.explanation
    to.print(f"explained: output {explanation.output}, mode {explanation.mode}")
    if explanation.computes:
        to.print(Text(f"relevance is {explanation.computes}"))
    for note in subject.notes[len(subject.warnings) + len(told) :]:
        to.print(Text(f"note: {note}"))
    if same_as is not None:
        to.print(in_words(same_as))
    to.print()
    if subject.reasons:
        print_reasons(to, subject.reasons)
        to.print()
    if same_as is not None:
        return
    for name in subject.read_texts:
        for line in lines(subject, name):
            to.print(line)
        to.print()
    _print_parts(to, subject, top)
    to.print()
    _print_balance(to, subject)
    to.print()


def _print_parts(to: Console, subject: ExplainedSample, top: int) -> None:
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
        own = [signed(r) for r in part.channels] if channels else []
        lead = ["group" if part.members is not None else part.input] if several else []
        rows.add_row(*lead, str(part), _signed(part), percent(part.share), *own)
    show(to, rows)
    if len(parts) > top:
        rest = sum(part.share for part in parts[top:])
        to.print(f"... and {len(parts) - top} more, share {percent(rest)}")
    if len(ranked) > len(parts):
        to.print("The rest got nothing.")


def _kind(subject: ExplainedSample) -> str:
    if subject.groups:
        return "group or part"
    names = list(subject.explanation.inputs)
    pictures = [is_picture(subject, name) for name in names]
    if subject.read_texts:
        return "word" if subject.words else "token"
    return "region" if all(pictures) else "part" if any(pictures) else "feature"


def _signed(part: InputPart) -> str:
    return signed(part.relevance)


def _print_balance(to: Console, subject: ExplainedSample) -> None:
    conserved = subject.explanation.conserved
    if conserved == "nothing":
        _print_sums(to, subject)
        return
    went, start = _WENT[conserved]
    for index, (channel, amounts) in enumerate(balance(subject).items()):
        of = f" ({channel})" if len(subject.channels) > 1 else ""
        rows = table(to, f"{went}{of}", "amount", "share", right=(1, 2))
        for kind in ("inputs", *(("constants",) if conserved == "score" else ()), "unassigned"):
            rows.add_row(_KINDS[kind], *_amount(amounts[kind], amounts["start"]))
        for tensor, totals in subject.explanation.ledger.cut.items():
            cut = float(totals[index, subject.sample])
            rows.add_row(f"cut by through at {tensor}", *_amount(cut, amounts["start"]))
        rows.add_row(start, *_amount(amounts["start"], amounts["start"]))
        show(to, rows)
    if subject.explanation.ledger.mixed:
        to.print("The model mixes samples; this is the sample's even part of the whole batch.")


def _print_sums(to: Console, subject: ExplainedSample) -> None:
    """What a mode that does not conserve adds up to, which is nobody's share."""
    from rich.text import Text

    for amounts in balance(subject).values():
        to.print(
            Text(
                f"The score is {amounts['start']:.4g}. Mode {subject.explanation.mode} does not "
                "divide it up: what it shows are no shares of the score."
            )
        )


_WENT = {
    "score": ("where relevance went", "start"),
    "difference": ("where the difference to the baseline went", "difference"),
}
_KINDS = {
    "inputs": "the inputs",
    "constants": "biases and constants",
    "unassigned": "unassigned",
}


def _amount(value: float, start: float) -> tuple[str, str]:
    tiny = abs(value) <= 1e-6 * abs(start)
    text = "0" if tiny else f"{value:.4g}"
    return text, "-" if start == 0 else "0.0%" if tiny else percent(value / start)
