"""Mean maps of pictures, and words of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.report.picture_style import (
    AGAINST,
    FAINT,
    FOR,
    INK,
    RULE,
    Scale,
    colours,
    sheet,
    shortened,
)
from backtrace_onnx.summary.means import Slice
from backtrace_onnx.summary.word_means import WordMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtrace_onnx.summary.over_rows import OverRows

_MAPS, _ACROSS, _WORDS = 12, 4, 16


def maps(made: OverRows, name: str) -> Figure:
    """Draw the mean share of every pixel, over all rows and in each class or group."""
    shown = [made.whole, *made.slices][:_MAPS]
    across = min(len(shown), _ACROSS)
    down = -(-len(shown) // across)
    figure = sheet(2.5 * across + 0.6, 2.9 * 2 * down + 0.9)
    title = f"Where in {shortened(name, 30)} relevance lies in the mean"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axes = np.atleast_1d(figure.subplots(2 * down, across, squeeze=False))
    for axis in axes.ravel():
        axis.set_axis_off()
    for k, one in enumerate(shown):
        both = one.maps[name]
        row = 2 * (k // across)
        for axis, values, what in (
            (axes[row, k % across], both.mean_abs, "mean |share|"),
            (axes[row + 1, k % across], both.mean, "mean share"),
        ):
            scale = Scale.of(values, 99.5)
            style: Any = {"cmap": colours(), "vmin": -1, "vmax": 1, "interpolation": "nearest"}
            axis.imshow(values / scale.limit, **style)
            axis.set_axis_on()
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set(visible=True, color=RULE)
            above = f"{_title(one)}\n" if axis is axes[row, k % across] else ""
            axis.set_title(above + what, fontsize=9, color=INK)
    words = "each map has its own scale; orange speaks for the answer, blue against it"
    figure.supxlabel(words, x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


def words(made: OverRows, name: str) -> Figure:
    """Draw the words of the largest mean shares, over all rows and in each class or group."""
    shown = [one for one in [made.whole, *made.slices] if one.words.get(name)][:_ACROSS]
    most = max(min(len(one.words[name]), _WORDS) for one in shown)
    figure = sheet(3.3 * max(len(shown), 2), 0.3 * most + 1.6)
    title = "The words that answers rest on"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axes = figure.subplots(1, max(len(shown), 2), squeeze=False)[0]
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for axis, one in zip(axes, shown, strict=False):
        _words(axis, one, one.words[name][:_WORDS])
    foot = f"mean share of a text, where a word occurs; lines are {made.confidence:.0%} intervals"
    figure.supxlabel(foot, x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


def _words(axis: Axes, one: Slice, found: tuple[WordMean, ...]) -> None:
    rows = range(len(found))
    axis.barh(rows, [w.mean for w in found], color=[FOR if w.mean >= 0 else AGAINST for w in found])
    for row, word in enumerate(found):
        axis.plot(word.interval, [row, row], color=INK, linewidth=1.0)
    axis.set_yticks(rows, labels=[f"{shortened(w.word, 18)} ({w.rows})" for w in found], fontsize=9)
    axis.invert_yaxis()
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.tick_params(length=0)
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_title(_title(one), loc="left", fontsize=10)


def _title(one: Slice) -> str:
    return f"{shortened(one.title, 26)} ({one.rows:,})"
