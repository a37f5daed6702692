"""The tokens of a continuation, each with what it owes to the tokens before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.answers import explained_answer, percent
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import legend
from backtrace_onnx.report.picture_style import FAINT, INK, Scale, colours, save, sheet
from backtrace_onnx.report.shaded_text import shaded, visible
from backtrace_onnx.report.token_relevance import TextRelevance, read_text_relevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console

Array = npt.NDArray[Any]
_MOST = 60  # tokens along a side that still get their names


@dataclass(frozen=True)
class ContinuedToken:
    """An explained token: what it is called, and the text before it."""

    subject: ExplainedSample
    name: str
    sentence: TextRelevance


def continuation(subjects: Sequence[ExplainedSample]) -> list[ContinuedToken]:
    """What is shown of each token; [] where samples are no tokens of one text's continuation."""
    if len(subjects) < 2 or len(subjects[0].texts) != 1:
        return []
    (name,) = subjects[0].texts
    ids = [s.own(s.explanation.inputs[name], name) for s in subjects]
    targets = [explained_answer(s) for s in subjects]
    same = all(np.array_equal(i, ids[0]) for i in ids)
    if not same or any(s.task != "generation" for s in subjects):
        return []
    places = [t.index[0] for t in targets if t is not None and len(t.index) == 2]
    if len(set(places)) < len(subjects):
        return []
    return [_row(subject, name, place) for subject, place in zip(subjects, places, strict=True)]


def print_continuation(to: Console, rows: Sequence[ContinuedToken]) -> None:
    """Print a line for each token: the text before it, shaded by what the token owes to it."""
    from rich.text import Text

    first = rows[0].subject.explanation
    to.print(f"explained: output {first.output}, mode {first.mode}, token by token")
    to.print()
    wide = max(len(row.name) for row in rows)
    for row in rows:
        head = Text(f"{visible(row.name):<{wide}}  ", style="bold")
        to.print(head + shaded(row.sentence))
    to.print()


def plot_continuation(rows: Sequence[ContinuedToken], path: Path) -> None:
    """Write the heatmap: explained tokens downwards, the tokens that they rest on to the right."""
    save(path, lambda: _drawn(rows))


def _row(subject: ExplainedSample, name: str, place: int) -> ContinuedToken:
    target = explained_answer(subject)
    sentence = read_text_relevance(subject, name)
    marks = tuple(mark for mark in sentence.marks if mark.index <= place)
    return ContinuedToken(subject, str(target), replace(sentence, marks=marks))


def _drawn(rows: Sequence[ContinuedToken]) -> Figure:
    columns = max((row.sentence.marks for row in rows), key=len)
    values = np.full((len(rows), len(columns)), np.nan)
    for i, row in enumerate(rows):
        values[i, : len(row.sentence.marks)] = [mark.relevance for mark in row.sentence.marks]
    figure = sheet(min(2.6 + 0.42 * len(columns), 16.0), min(1.9 + 0.36 * len(rows), 14.0))
    title = "What each token rests on"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axis = figure.subplots()
    scale = Scale.of(values[np.isfinite(values)])
    axis.set_facecolor("#eef0f2")
    shown: Any = {"cmap": colours(), "vmin": -1, "vmax": 1, "aspect": "auto"}
    axis.imshow(
        np.where(np.isfinite(values), 1.0, np.nan), cmap="gray", vmin=0, vmax=1, aspect="auto"
    )
    drawn = axis.imshow(values / scale.limit, interpolation="nearest", **shown)
    _labels(axis, [row.name for row in rows], [visible(mark.text).strip() for mark in columns])
    bar = figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.5, aspect=36, pad=0.02)
    legend(bar, scale, rows[0].subject)
    figure.supxlabel(_note(rows), x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


def _labels(axis: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axis.tick_params(length=0, labelsize=9, labelcolor=INK)
    axis.spines[:].set_visible(False)
    axis.xaxis.tick_top()
    every = -(-len(columns) // _MOST)
    at = range(0, len(columns), every)
    names = [columns[i] for i in at]
    axis.set_xticks(at, labels=names, rotation=50, ha="left", rotation_mode="anchor")
    every = -(-len(rows) // _MOST)
    axis.set_yticks(range(0, len(rows), every), labels=list(rows)[::every])


def _note(rows: Sequence[ContinuedToken]) -> str:
    """Mode, and the share of the tokens that stand around the text."""
    special = sum(abs(mark.relevance) for row in rows for mark in row.sentence.special)
    total = sum(row.sentence.total for row in rows)
    note = f"mode {rows[0].subject.explanation.mode}"
    return f"{note} · special tokens, not drawn: {percent(special / total)}" if special else note
