"""The flow of relevance through the layers of a network, in the mean over rows."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from backtrace_onnx.network.numbers import PartNumbers
from backtrace_onnx.report.picture_style import (
    AGAINST,
    CONSTANTS,
    DATA,
    FAINT,
    FOR,
    INK,
    RULE,
    UNASSIGNED,
    sheet,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAR = 4.0  # parts of the start: longer bars are cut, with their number


def draw(rows: int, parts: Sequence[PartNumbers], title: str) -> Figure:
    """Draw a row for each layer and input: its relevance by sign, what it takes, its spread."""
    compared = any(part.classes_alike is not None for part in parts)
    figure = sheet(10.4, 0.46 * len(parts) + 2.2)
    heading = "\n".join(wrap(title, 96))
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13, fontweight="bold")
    widths = [1.5, 0.8, 0.5, 0.6] if compared else [1.5, 0.8, 0.5]
    axes = figure.subplots(1, len(widths), width_ratios=widths, sharey=True)
    _signs(axes[0], parts)
    _taken(axes[1], parts)
    _from_0_to_1(axes[2], [p.entropy for p in parts], "spread")
    if compared:
        _from_0_to_1(axes[3], [p.classes_alike for p in parts], "2 classes alike")
    axes[0].set_yticks(range(len(parts)), labels=[shortened(p.name, 32) for p in parts])
    axes[0].set_ylim(len(parts) - 0.4, -0.6)
    for axis in axes:
        axis.tick_params(length=0, labelsize=9)
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.grid(axis="x", color=RULE, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.axvline(0, color=FAINT, linewidth=0.8)
    figure.legend(*_legend(), loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    text = f"means over {rows:,} row(s), in parts of what each started with"
    axes[0].set_xlabel(text, loc="left", fontsize=9, color=FAINT)
    return figure


def _signs(axis: Axes, parts: Sequence[PartNumbers]) -> None:
    for y, part in enumerate(parts):
        for value, sign, colour in ((part.positive, 1, FOR), (part.negative, -1, AGAINST)):
            if not value:
                continue
            axis.barh(y, sign * min(value, _FAR), height=0.6, color=colour)
            if value > 0.005:
                place: Any = {"xytext": (3 * sign, 0), "textcoords": "offset points"}
                place |= {"ha": "left" if sign > 0 else "right", "va": "center"}
                axis.annotate(
                    _percent(value), (sign * min(value, _FAR), y), fontsize=8, color=INK, **place
                )
    low, high = axis.get_xlim()
    span = max(high - low, 0.1)
    axis.set_xlim(low - 0.14 * span * (low < 0), high + 0.14 * span)
    axis.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.0%}")
    axis.set_title("relevance, by sign", loc="left", fontsize=10, color=FAINT)


def _taken(axis: Axes, parts: Sequence[PartNumbers]) -> None:
    """Bars of what is taken; what biases add is a bar to the other side."""
    for y, part in enumerate(parts):
        ends = [0.0, 0.0]
        for value, colour, hatch in (
            (part.absorbed or 0.0, CONSTANTS, ""),
            (part.unassigned or 0.0, UNASSIGNED, "////"),
        ):
            side = int(value < 0)
            size = max(min(value, _FAR), -_FAR)
            style: Any = {"color": colour, "hatch": hatch, "edgecolor": "white"}
            axis.barh(y, size, left=ends[side], height=0.6, **style)
            ends[side] += size
        if ends[0] - ends[1] > 0.001:
            words = _percent((part.absorbed or 0.0) + (part.unassigned or 0.0))
            place: Any = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(words, (ends[0], y), fontsize=8, color=INK, **place)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0), max(high, 0.05) * 1.3)
    axis.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.3g}%")
    axis.set_title("what it takes", loc="left", fontsize=10, color=FAINT)


def _from_0_to_1(axis: Axes, values: Sequence[float | None], title: str) -> None:
    known = [(y, value) for y, value in enumerate(values) if value is not None]
    style: Any = {"color": DATA, "marker": "o", "markersize": 4, "linewidth": 1}
    axis.plot([value for _, value in known], [y for y, _ in known], **style)
    axis.set_xlim(min(-0.05, *(value - 0.05 for _, value in known), 0), 1.05)
    axis.set_xticks([-1, 0, 1] if axis.get_xlim()[0] < -0.5 else [0, 1])
    axis.set_title(title, loc="left", fontsize=10, color=FAINT)


def _percent(value: float) -> str:
    return f"{value:.0%}" if abs(value) >= 0.1 else f"{value:.1%}"


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.patches import Patch

    gray: Any = {"facecolor": UNASSIGNED, "hatch": "////", "edgecolor": "white"}
    found = [
        (Patch(color=FOR), "speaks for the answer"),
        (Patch(color=AGAINST), "speaks against it"),
        (Patch(color=CONSTANTS), "absorbed by biases and constants"),
        (Patch(**gray), "given to nobody"),
    ]
    return [patch for patch, _ in found], [word for _, word in found]
