"""A picture of perturbation curves: the explained score while parts of rows are gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.summary import ModeSummary
from backtrace_onnx.messages.terminal_text import visible
from backtrace_onnx.report.picture_style import INK, save, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = {
    "morf": "most relevant gone first: lower is better",
    "lerf": "least relevant gone first: higher is better",
    "insertion": "most relevant put back first: higher is better",
}
_COLOURS = ("#1a66ad", "#c4500a", "#3f8f5f", "#7b4fa3", "#b08900", "#5b5f66", "#0f8b8d", "#a33b5f")
_STYLES = ("-", "--", "-.", ":")


def plot(modes: Sequence[ModeSummary], path: Path) -> None:
    """Draw the perturbation curves, the mean over rows. Raises RequestError without any."""
    names = [n for n in CURVES if any(n in mode.curves for mode in modes)]
    if not names:
        raise RequestError("no perturbation curve was measured; ask for abpc, morf or insertion")

    def page() -> Figure:
        figure = sheet(4.2 * len(names), 3.8)
        axes: Any = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
        for axis, name in zip(axes, names, strict=True):
            _draw(axis, name, modes)
        axes[0].set_ylabel("explained score, mean over rows")
        axes[-1].legend(frameon=False, fontsize=9)
        return figure

    save(path, page)


def _draw(axis: Axes, name: str, modes: Sequence[ModeSummary]) -> None:
    for k, mode in enumerate(modes):
        if name not in mode.curves:
            continue
        scores = mode.curves[name]
        style = _STYLES[k // len(_COLOURS) % len(_STYLES)]
        colour = _COLOURS[k % len(_COLOURS)]
        at = np.linspace(0, 100, len(scores))
        axis.plot(at, scores, style, color=colour, label=visible(mode.mode), linewidth=1.6)
    back = name == "insertion"
    axis.set_xlabel(f"parts {'put back' if back else 'replaced'}, %")
    axis.set_title(CURVES[name], fontsize=10, color=INK)


__all__ = ["plot"]
