"""Arrays that are neither pictures, series nor tables: token by feature, volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import legend
from backtrace_onnx.report.picture_style import FAINT, Scale, colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Array = npt.NDArray[Any]


def draw(figure: FigureBase, subject: ExplainedSample, name: str) -> None:
    """Draw one map (of three axes their sum over the first), or a volume from three sides."""
    relevance = subject.relevance(name).astype(np.float64)
    if relevance.ndim <= 3:
        _map(
            figure,
            subject,
            relevance.sum(axis=0) if relevance.ndim == 3 else np.atleast_2d(relevance),
        )
    else:
        _volume(figure, subject, relevance.sum(axis=tuple(range(relevance.ndim - 3))))


def _map(figure: FigureBase, subject: ExplainedSample, values: Array) -> None:
    axis = figure.subplots()
    scale = Scale.of(values)
    drawn = heat(axis, values, scale)
    axis.set_xlabel("last axis", color=FAINT, fontsize=10)
    axis.set_ylabel("axis before", color=FAINT, fontsize=10)
    colour_bar(figure, drawn, [axis], scale, subject)


def _volume(figure: FigureBase, subject: ExplainedSample, values: Array) -> None:
    axes = figure.subplots(1, 3, squeeze=False)[0]
    views = [values.sum(axis=k) for k in range(3)]
    scale = Scale.of(np.concatenate([view.ravel() for view in views]))
    for axis, view, along in zip(axes, views, ("first", "second", "third"), strict=True):
        drawn = heat(axis, view, scale)
        axis.set_title(f"summed along the {along} axis", color=FAINT, fontsize=10)
    colour_bar(figure, drawn, list(axes), scale, subject)


def heat(axis: Axes, values: Array, scale: Scale) -> Any:
    """Draw relevance [rows, columns] as a map of colours, and return what was drawn."""
    from matplotlib.ticker import MaxNLocator

    rows, columns = values.shape
    aspect: Literal["equal", "auto"] = "equal" if 0.25 < rows / columns < 4 else "auto"
    axis.tick_params(length=0, labelsize=9)
    for along in (axis.xaxis, axis.yaxis):
        along.set_major_locator(MaxNLocator(integer=True))
    return axis.imshow(
        values / scale.limit,
        cmap=colours(),
        vmin=-1,
        vmax=1,
        aspect=aspect,
        interpolation="nearest",
    )


def colour_bar(
    figure: FigureBase, drawn: Any, axes: list[Axes], scale: Scale, subject: ExplainedSample
) -> None:
    """Draw the bar that says what the colours mean, under some axes."""
    bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.4, aspect=30, pad=0.03)
    legend(bar, scale, subject)
