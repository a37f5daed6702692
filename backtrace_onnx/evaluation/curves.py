"""A picture of perturbation curves: the explained score while parts of rows are gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.summary import ModeSummary
from backtrace_onnx.messages.terminal_text import visible
from backtrace_onnx.report.picture_style import INK, save, sheet, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = {
    "morf": "most relevant gone first: lower is better",
    "lerf": "least relevant gone first: higher is better",
    "insertion": "most relevant put back first: higher is better",
}
_COLOURS = ("#1a66ad", "#c4500a", "#3f8f5f", "#7b4fa3", "#b08900", "#5b5f66", "#0f8b8d", "#a33b5f")
_PANEL, _LEGEND, _LINE = 4.2, 1.6, 0.2
"""Inches: of a panel's width, of what names the lines beside them, of one such name's height."""
_STYLES = ("-", "--", "-.", ":")


def plot(modes: Sequence[ModeSummary], path: Path) -> None:
    """Draw the perturbation curves, the mean over rows. Raises RequestError without any."""
    names = [n for n in CURVES if any(n in mode.curves for mode in modes)]
    if not names:
        raise RequestError("no perturbation curve was measured; ask for abpc, morf or insertion")

    save(path, lambda: _page(names, modes))


def _page(names: Sequence[str], modes: Sequence[ModeSummary]) -> Figure:
    """A panel for each curve, and beside them which line is whose."""
    figure = sheet(_PANEL * len(names) + _LEGEND, max(3.8, 0.6 + _LINE * len(modes)))
    axes: Any = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    lines: dict[str, Any] = {}
    for axis, name in zip(axes, names, strict=True):
        lines |= _draw(axis, name, modes)
    axes[0].set_ylabel("explained score, mean over rows")
    known = [mode.mode for mode in modes if mode.mode in lines]
    labels = [shortened(visible(mode), 36) for mode in known]
    handles = [lines[mode] for mode in known]
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    return figure


def _draw(axis: Axes, name: str, modes: Sequence[ModeSummary]) -> dict[str, Any]:
    """Draw one panel; the line of each mode that has this curve."""
    lines: dict[str, Any] = {}
    for k, mode in enumerate(modes):
        if name not in mode.curves:
            continue
        scores = mode.curves[name]
        style = _STYLES[k // len(_COLOURS) % len(_STYLES)]
        colour = _COLOURS[k % len(_COLOURS)]
        at = np.linspace(0, 100, len(scores))
        (lines[mode.mode],) = axis.plot(at, scores, style, color=colour, linewidth=1.6)
    back = name == "insertion"
    axis.set_xlabel(f"parts {'put back' if back else 'replaced'}, %")
    axis.set_title(CURVES[name], fontsize=10, color=INK)
    return lines


__all__ = ["plot"]
