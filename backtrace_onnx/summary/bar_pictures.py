"""Bars with intervals: shares of features, groups and modules, over all rows and by slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.report.picture_style import (
    AGAINST,
    CONSTANTS,
    DATA,
    FAINT,
    FOR,
    INK,
    RULE,
    sheet,
    shortened,
)
from backtrace_onnx.summary.feature_groups import REST
from backtrace_onnx.summary.means import Interval, ShareMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtrace_onnx.summary.over_rows import OverRows

_ROW = 0.36
_COLOURS = (DATA, CONSTANTS, "#2f7d5b", "#8a5aa8", "#7fb2d9", "#8c6d1f", "#555555", "#b03060")
SLICES = len(_COLOURS)


def bars(made: OverRows, kind: str, means: Sequence[ShareMean], most: int) -> Figure:
    """Draw mean |share| and mean share with their intervals, and the ranks they leave open."""
    shown = means[:most]
    figure = sheet(9.6, _ROW * len(shown) + 1.9)
    figure.suptitle(_title(made, kind, means), x=0.01, ha="left", fontsize=14, fontweight="bold")
    sizes, signed = figure.subplots(1, 2, width_ratios=[1.25, 1], sharey=True)
    rows = range(len(shown))
    sizes.barh(rows, [m.mean_abs for m in shown], height=0.62, color=DATA)
    colours = [FOR if m.mean >= 0 else AGAINST for m in shown]
    signed.barh(rows, [m.mean for m in shown], height=0.62, color=colours)
    for row, mean in enumerate(shown):
        _whisker(sizes, row, mean.mean_abs_interval)
        _whisker(signed, row, mean.mean_interval)
        end = mean.mean_abs_interval[1] if mean.mean_abs_interval else mean.mean_abs
        text = f"{mean.mean_abs:.1%}  {_rank(mean)}"
        place: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        sizes.annotate(text, (max(end, mean.mean_abs), row), fontsize=9, color=INK, **place)
    sizes.set_yticks(rows, labels=[shortened(m.name, 30) for m in shown])
    sizes.set_ylim(len(shown) - 0.4, -0.6)
    sizes.set_xlim(0, sizes.get_xlim()[1] * 1.32)
    of = "what rows started with" if kind == "module" else _of(made)
    sizes.set_title(f"mean |share| of {of}, and rank", loc="left", fontsize=10, color=FAINT)
    signed.set_title("mean share with its sign", loc="left", fontsize=10, color=FAINT)
    for axis in (sizes, signed):
        _plain(axis)
    figure.supxlabel(
        _foot(made, len(means) - len(shown)), x=0.01, ha="left", fontsize=9, color=FAINT
    )
    return figure


def by_slices(made: OverRows, by: str, most: int) -> Figure:
    """Draw the mean |share| of features in every class or group, with intervals."""
    slices = sorted((one for one in made.slices if one.by == by), key=lambda s: -s.rows)
    left = len(slices) - SLICES
    slices = slices[:SLICES]
    names = [m.name for m in made.whole.features[:most]]
    step = 0.8 / len(slices)
    figure = sheet(9.6, max(_ROW, 0.11 * len(slices)) * len(names) + 2.1)
    title = f"What answers rest on, by {by} (number of rows)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    sizes, signed = figure.subplots(1, 2, sharey=True)
    for k, one in enumerate(slices):
        found = {m.name: m for m in one.features}
        rows = np.arange(len(names)) - 0.4 + step * (k + 0.5)
        word = f"{'missing' if one.value is None else shortened(one.value, 24)} ({one.rows:,})"
        for axis, values, ends in (
            (
                sizes,
                [found[n].mean_abs for n in names],
                [found[n].mean_abs_interval for n in names],
            ),
            (signed, [found[n].mean for n in names], [found[n].mean_interval for n in names]),
        ):
            axis.barh(rows, values, height=step * 0.9, color=_COLOURS[k], label=word)
            for row, interval in zip(rows, ends, strict=True):
                _whisker(axis, row, interval)
    sizes.set_yticks(range(len(names)), labels=[shortened(n, 30) for n in names])
    sizes.set_ylim(len(names) - 0.4, -0.6)
    sizes.set_title(f"mean |share| of {_of(made)}", loc="left", fontsize=10, color=FAINT)
    signed.set_title("mean share with its sign", loc="left", fontsize=10, color=FAINT)
    for axis in (sizes, signed):
        _plain(axis)
    figure.legend(
        *sizes.get_legend_handles_labels(),
        loc="outside lower left",
        ncols=min(len(slices), 4),
        frameon=False,
        fontsize=9.5,
        title=f"{left} smaller ones are left out" if left > 0 else None,
    )
    return figure


def _title(made: OverRows, kind: str, means: Sequence[ShareMean]) -> str:
    first = means[0]
    if first.mean_abs == 0:
        return f"No {kind} has any relevance"
    ties = [name for name in first.tied if name != first.name][:2]
    if first.name == REST and not ties:
        return "No group takes as much as the rest does"
    if first.rank[0] == 1 and not ties:
        return f"Answers rest on {shortened(first.name, 40)} most"
    return f"Which {kind} answers rest on most is not settled"


def _rank(mean: ShareMean) -> str:
    best, worst = mean.rank
    return f"#{best}" if best == worst else f"#{best}-{worst}"


def _of(made: OverRows) -> str:
    return "a row's |relevance|" if made.share == "inputs" else "what rows started with"


def _foot(made: OverRows, left: int) -> str:
    parts = [f"{made.rows:,} rows; lines are {made.confidence:.0%} bootstrap intervals"]
    parts += ["#2-3: the order of these is not settled"]
    parts += [f"{left} more are not shown"] if left > 0 else []
    return "; ".join(parts)


def _whisker(axis: Axes, row: float, interval: Interval | None) -> None:
    if interval is not None:
        axis.plot(interval, [row, row], color=INK, linewidth=1.1, solid_capstyle="butt")


def _plain(axis: Axes) -> None:
    axis.tick_params(axis="both", length=0)
    axis.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.3g}%")
    axis.spines["left"].set_visible(False)
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)
