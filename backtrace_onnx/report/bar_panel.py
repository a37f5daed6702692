"""Ranked bars: columns of tables, regions, and other named parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import kind_of
from backtrace_onnx.report.input_parts import InputPart
from backtrace_onnx.report.picture_style import AGAINST, FAINT, FOR, INK, RULE, shortened
from backtrace_onnx.report.ranking import rank, with_relevance
from backtrace_onnx.report.signed_amounts import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SHOWN = 14


GROUPS = ""
"""Stands for an input's name where groups of entries are drawn, and the inputs' rest."""


def shown(subject: ExplainedSample, name: str) -> list[InputPart]:
    """The parts that are drawn, largest first: of an input, or of `GROUPS` all groups and rests.

    What groups leave of an input that has a picture of its own is one part.
    """
    if name != GROUPS:
        return rank(subject, name)
    parts = rank(subject)
    found = [p for p in parts if p.members is not None or kind_of(subject, p.input) == "bars"]
    for input in subject.explanation.inputs:
        left = [p.relevance for p in parts if p.members is None and p.input == input]
        if left and kind_of(subject, input) != "bars":
            found.append(InputPart(input, f"rest of {input}", sum(left), ()))
    return sorted(found, key=lambda part: -abs(part.relevance))


def height(subject: ExplainedSample, name: str) -> float:
    """Inches that the bars of an input take."""
    return 0.38 * min(len(shown(subject, name)), SHOWN + 1) + 0.9


def draw(figure: FigureBase, subject: ExplainedSample, name: str) -> None:
    """Draw a bar for every part of an input, the largest on top, the small ones together as one."""
    ranked = shown(subject, name)
    parts = with_relevance(ranked)
    values = [part.relevance for part in parts[:SHOWN]]
    names = [shortened(str(part)) for part in parts[:SHOWN]]
    if len(parts) > SHOWN:
        values.append(sum(part.relevance for part in parts[SHOWN:]))
        names.append(f"{len(parts) - SHOWN} others together")
    if without := len(ranked) - len(parts):
        values.append(0.0)
        names.append(f"{without} others got nothing" if without > 1 else str(ranked[-1]))
    axis = figure.subplots()
    _bars(axis, names, values)
    _ends(axis, values)
    low, high = axis.get_xlim()
    zero = -low / (high - low) if low < 0 < high else 0.5
    axis.set_xlabel(meaning(parts), color=FAINT, fontsize=10, x=zero)


def meaning(parts: Sequence[InputPart]) -> str:
    """The label of the axis, which says what either side means where both occur."""
    if any(part.relevance < 0 for part in parts) and any(part.relevance > 0 for part in parts):
        return "← speaks against        relevance        speaks for →"
    return "relevance"


def _bars(axis: Axes, names: Sequence[str], values: Sequence[float]) -> None:
    rows = range(len(values))
    axis.barh(rows, values, color=[FOR if v >= 0 else AGAINST for v in values], height=0.68)
    axis.set_yticks(rows, labels=names, fontsize=11)
    axis.invert_yaxis()
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.tick_params(axis="both", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)


def _ends(axis: Axes, values: Sequence[float]) -> None:
    """The number at the end of every bar, and room for it."""
    span = max(map(abs, values), default=0.0) or 1.0
    for row, value in enumerate(values):
        side = 1 if value >= 0 else -1
        axis.annotate(
            signed(value, 3),
            (value, row),
            xytext=(4 * side, 0),
            textcoords="offset points",
            va="center",
            ha="left" if side > 0 else "right",
            fontsize=10,
            color=INK,
        )
    low, high = min(0.0, *values), max(0.0, *values)
    axis.set_xlim(low - 0.24 * span * (low < 0), high + 0.18 * span * (high > 0 or low == 0))
