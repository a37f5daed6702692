"""Texts as pictures: every token on its colour, with its share of relevance below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.answers import explained_answer, rival_answer
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import legend
from backtrace_onnx.report.picture_style import FAINT, Scale, colours, shade, shortened
from backtrace_onnx.report.shaded_text import ink, notes, visible
from backtrace_onnx.report.token_relevance import TextRelevance, TokenRelevance, read_text_relevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Array = npt.NDArray[Any]
WIDTH = 9.0  # inches
_POINTS = WIDTH * 72 - 24
_SIZE = 14.0
_LINE = 42.0  # points from one line to the next
_LINES = 24  # drawn; a note tells how many tokens are left out


@dataclass(frozen=True)
class _Placed:
    """A token, where it stands (points from the left, line), and how wide it is."""

    mark: TokenRelevance
    left: float
    line: int
    width: float


def height(subject: ExplainedSample, name: str) -> float:
    """Inches that the picture of a text takes."""
    sentence = read_text_relevance(subject, name)
    rows = len(channels_of(subject)) * min(_count(_placed(sentence.marks)), _LINES)
    heads = 18 * len(channels_of(subject)) if len(channels_of(subject)) > 1 else 0
    return (rows * _LINE + heads + 16 * len(notes(subject, sentence))) / 72 + 0.75


def draw(figure: FigureBase, subject: ExplainedSample, name: str) -> None:
    """Draw a text, every token on its colour; in modes with two channels once for each, too."""
    sentence = read_text_relevance(subject, name)
    placed = _placed(sentence.marks)
    lines = min(_count(placed), _LINES)
    parts = channels_of(subject)
    below = [*notes(subject, sentence), *_left_out(placed)]
    sizes = [lines * _LINE + 18 * (len(parts) > 1)] * len(parts)
    ratios = [*sizes, 16 * len(below) + 1, 10]
    axes = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    values = [values_of(sentence, channel) for channel in parts]
    scale = Scale.of(np.array([v for own in values for v in own] or [0.0]))
    for axis, channel, own in zip(axes, parts, values, strict=False):
        _text(axis, placed, own, scale.limit, lines)
        if len(parts) > 1:
            axis.set_title(title_of(subject, channel), loc="left", color=FAINT, fontsize=10)
    axes[-2].set_axis_off()
    for row, note in enumerate(below):
        place = (0.0, 1 - (row + 0.5) / len(below))
        axes[-2].text(*place, shortened(note, 150), fontsize=9, color=FAINT, va="center")
    _bar(figure, axes[-1], scale, subject)


def title_of(subject: ExplainedSample, channel: int) -> str:
    """What a panel shows, in words."""
    target, other = explained_answer(subject), rival_answer(subject)
    if channel and target and other:
        return f"what speaks for {(target, other)[channel - 1].name}"
    return ("for minus against", "what the target brings", "what all else brings")[channel]


def channels_of(subject: ExplainedSample) -> list[int]:
    """Panels: the whole (0), and in modes with two channels each of them (1, 2)."""
    return [0, 1, 2] if len(subject.channels) > 1 else [0]


def values_of(sentence: TextRelevance, channel: int) -> list[float]:
    """Relevance of every token in a panel."""
    sign = -1 if channel == 2 else 1
    return [
        sign * mark.channels[channel - 1] if channel else mark.relevance for mark in sentence.marks
    ]


def _text(
    axis: Axes, placed: Sequence[_Placed], values: Sequence[float], limit: float, lines: int
) -> None:
    from matplotlib.patches import FancyBboxPatch

    axis.set_xlim(-2, _POINTS)
    axis.set_ylim(lines * _LINE, 0)
    axis.set_axis_off()
    total = sum(map(abs, values)) or 1.0
    for token, value in zip(placed, values, strict=True):
        if token.line >= _LINES:
            break
        color = shade(value / limit)
        top, middle = token.line * _LINE, token.left + token.width / 2
        box: Any = {"boxstyle": "round,pad=0,rounding_size=3", "linewidth": 0, "facecolor": color}
        axis.add_patch(FancyBboxPatch((token.left - 1, top + 3), token.width + 2, 21, **box))
        word: Any = {"fontsize": _SIZE, "va": "center", "ha": "center", "color": ink(color)}
        axis.text(middle, top + 13.5, visible(token.mark.text.strip(" ")), **word)
        if abs(value) >= 0.005 * total and token.width >= 22:
            number: Any = {"fontsize": 7.5, "color": FAINT, "va": "center", "ha": "center"}
            axis.text(middle, top + 31, f"{value / total:+.0%}", **number)


def _placed(marks: Sequence[TokenRelevance]) -> list[_Placed]:
    """The tokens set in lines as wide as the picture."""
    left, line, found = 0.0, 0, []
    for mark in marks:
        space = 5.0 if mark.text[:1].isspace() else 1.5
        width = _width(visible(mark.text.strip(" ")))
        left += space if left else 0.0
        if left and left + width > _POINTS:
            left, line = 0.0, line + 1
        found.append(_Placed(mark, left, line, width))
        left += width
        if "\n" in mark.text:
            left, line = 0.0, line + 1
    return found


def _count(placed: Sequence[_Placed]) -> int:
    return placed[-1].line + 1 if placed else 1


def _left_out(placed: Sequence[_Placed]) -> Iterator[str]:
    rest = sum(token.line >= _LINES for token in placed)
    if rest:
        yield f"the last {rest} tokens are left out"


@cache
def _width(text: str) -> float:
    """Points that a text takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text:
        return 4.0
    box = TextPath((0, 0), text, size=_SIZE, prop=FontProperties(), usetex=False).get_extents()
    return max(float(box.width) + 2.0, 5.0)


def _bar(figure: FigureBase, axis: Axes, scale: Scale, subject: ExplainedSample) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    drawn = ScalarMappable(Normalize(-1, 1), colours())
    axis.set_axis_off()
    inner = axis.inset_axes((0.0, 0.0, 0.36, 1.0))
    bar = figure.colorbar(drawn, cax=inner, orientation="horizontal")
    legend(bar, scale, subject)
