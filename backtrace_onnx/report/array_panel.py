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
    found = views(subject.relevance(name))
    axes = list(figure.subplots(1, len(found), squeeze=False)[0])
    scale = Scale.of(np.concatenate([values.ravel() for _, values in found]))
    for axis, (title, values) in zip(axes, found, strict=True):
        drawn = heat(axis, values, scale)
        axis.set_title(title, color=FAINT, fontsize=10)
    if len(found) == 1:
        axes[0].set_xlabel("last axis", color=FAINT, fontsize=10)
        axes[0].set_ylabel("axis before", color=FAINT, fontsize=10)
    colour_bar(figure, drawn, axes, scale, subject)


def views(relevance: Array) -> list[tuple[str, Array]]:
    """The maps [rows, columns] of an array, with their titles: one, or a volume's three sides."""
    values = relevance.astype(np.float64)
    if values.ndim <= 3:
        return [("", values.sum(axis=0) if values.ndim == 3 else np.atleast_2d(values))]
    volume = values.sum(axis=tuple(range(values.ndim - 3)))
    sides = enumerate(("first", "second", "third"))
    return [(f"summed along the {along} axis", volume.sum(axis=k)) for k, along in sides]


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
