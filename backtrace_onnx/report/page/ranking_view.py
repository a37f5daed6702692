"""What an answer rests on, as bars; of a table row as a waterfall that ends at the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import kind_of
from backtrace_onnx.report.input_parts import InputPart
from backtrace_onnx.report.json_report import balance
from backtrace_onnx.report.page.bar_charts import Axis, Piece
from backtrace_onnx.report.ranking import rank, with_relevance
from backtrace_onnx.report.signed_amounts import signed

TOP = 12
"""Parts of pictures, texts and arrays that are listed."""
COLUMNS = 30
"""Columns of a table that are listed."""


@dataclass(frozen=True)
class RankedRow:
    """A part of the inputs, or where else relevance went.

    Attributes:
        value: what the part holds, "" if it is not told.
        pieces: its bar. begin, end: where it follows on the bar above, and goes on below; None:
            it stands alone.
        input, box: of a region: x, y, width and height in the picture of that input.
        kind: "part", "rest" for what is summed up, "end" for the last line of a waterfall.
    """

    name: str
    value: str
    amount: str
    share: str
    pieces: tuple[Piece, ...]
    begin: float | None = None
    end: float | None = None
    input: str = ""
    box: tuple[int, int, int, int] | None = None
    kind: str = "part"


@dataclass(frozen=True)
class RankingView:
    """Rows with bars on one axis.

    Attributes:
        columns: heads of name, amount and share.
        zero: where 0 lies.
        note: how bars are read, or what is left out.
    """

    title: str
    columns: tuple[str, str, str]
    rows: tuple[RankedRow, ...]
    zero: float
    note: str


def ranking_view(subject: ExplainedSample) -> RankingView:
    """The parts with most relevance; a waterfall where all inputs are columns or entries."""
    parts = with_relevance(rank(subject))
    listed = all(
        kind_of(subject, name) == "bars"
        for name in subject.explanation.inputs
        if name not in subject.companions
    )
    if listed and _adds_up(subject):
        return _waterfall(subject, parts)
    return _bars(subject, parts, COLUMNS if listed else TOP)


def _adds_up(subject: ExplainedSample) -> bool:
    """Whether parts and books are terms of one sum that is not 0."""
    amounts = next(iter(balance(subject).values()))
    one = len(subject.channels) == 1 and subject.explanation.conserved != "nothing"
    return one and amounts["start"] != 0


def _bars(subject: ExplainedSample, parts: Sequence[InputPart], most: int) -> RankingView:
    shown = parts[:most]
    two = len(subject.channels) > 1
    ends = [end for part in shown for end in _sides(part, two)]
    axis = Axis.of(ends)
    rows = [
        RankedRow(
            *_called(part),
            signed(part.relevance, 3),
            percent(part.share),
            tuple(axis.piece("for" if end > 0 else "against", 0, end) for end in _sides(part, two)),
            input=part.input,
            box=None if part.box is None else _turned(part.box),
        )
        for part in shown
    ]
    rest = sum(part.share for part in parts[most:])
    left = len(parts) - len(shown)
    note = f"{left} more have {percent(rest)} together. " if left else ""
    how = "To the right what speaks for the answer, to the left what speaks against it."
    note += how if axis.low < 0 < axis.high else ""
    return RankingView("What it rests on", _heads(subject), tuple(rows), axis.zero, note.strip())


def _sides(part: InputPart, two: bool) -> list[float]:
    """Where a part's bars end: its relevance, or of two channels what is for and what against."""
    if two:
        return [part.channels[0], -part.channels[1]]
    return [part.relevance]


def _waterfall(subject: ExplainedSample, parts: Sequence[InputPart]) -> RankingView:
    """Every column takes up where the last one ended; books follow, and the answer is the end."""
    shown, small = parts[:COLUMNS], parts[COLUMNS:]
    amounts = next(iter(balance(subject).values()))
    start = amounts["start"]
    steps = [(*_called(p), p.relevance, percent(p.share), "part") for p in shown]
    if small:
        told = percent(sum(part.share for part in small))
        steps.append(
            (f"{len(small)} others together", "", sum(p.relevance for p in small), told, "rest")
        )
    for kind, name in (("constants", "biases"), ("unassigned", "unassigned"), ("cut", "cut")):
        if abs(amounts[kind]) > 1e-6 * abs(start):
            steps.append((_BOOKS[name], "", amounts[kind], "", name))
    ends = [0.0]
    for step in steps:
        ends.append(ends[-1] + step[2])
    axis = Axis.of([*ends, start])
    rows = [
        RankedRow(
            name,
            value,
            signed(amount, 3),
            share,
            (axis.piece(_kind(kind, amount), begin, end),),
            axis.at(begin),
            axis.at(end),
            kind="part" if kind == "part" else "rest",
        )
        for (name, value, amount, share, kind), begin, end in zip(
            steps, ends, ends[1:], strict=False
        )
    ]
    what = "the score" if subject.explanation.conserved == "score" else "the difference"
    piece = axis.piece("total", 0, start)
    last = RankedRow(what, "", signed(start, 3), "", (piece,), begin=axis.at(ends[-1]), kind="end")
    rows.append(last)
    note = "Each bar begins where the one above it ends; together they are what is explained."
    return RankingView("What adds up to it", _heads(subject), tuple(rows), axis.zero, note)


_BOOKS = {"biases": "biases and constants", "unassigned": "unassigned", "cut": "cut (through)"}


def _kind(kind: str, amount: float) -> str:
    if kind in _BOOKS:
        return kind
    return "for" if amount >= 0 else "against"


def _called(part: InputPart) -> tuple[str, str]:
    """The name of a part and what it holds."""
    if part.members is not None:
        return part.name, part.value or ", ".join(part.members)
    return part.name, part.value or ""


def _heads(subject: ExplainedSample) -> tuple[str, str, str]:
    named = "group or part" if subject.groups else "part of the input"
    return named, "relevance", "share"


def _turned(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """x, y, width and height of first row, first column, row and column after the last."""
    top, left, bottom, right = box
    return left, top, right - left, bottom - top


__all__ = ["RankedRow", "RankingView", "ranking_view"]
