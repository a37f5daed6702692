"""Arrays that are neither pictures nor tables: signals, token by feature, volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.heatmap import legend
from backtrace_onnx.report.style import FAINT, INK, Scale, colours
from backtrace_onnx.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Array = npt.NDArray[Any]
LINES = 4  # channels that are drawn as lines
_LONG = 40


def is_signal(sample: Array) -> bool:
    """Whether a sample is one long line, or a few side by side."""
    if sample.ndim == 1:
        return sample.size > _LONG
    return sample.ndim == 2 and min(sample.shape) <= LINES and max(sample.shape) > _LONG


def draw(figure: FigureBase, subject: Subject, name: str) -> None:
    """The picture that fits the sample's rank."""
    relevance = subject.relevance(name).astype(np.float64)
    if is_signal(relevance):
        _signal(figure, subject, subject.own(subject.explanation.inputs[name]), relevance)
    elif relevance.ndim <= 3:
        _map(
            figure,
            subject,
            relevance.sum(axis=0) if relevance.ndim == 3 else np.atleast_2d(relevance),
        )
    else:
        _volume(figure, subject, relevance.sum(axis=tuple(range(relevance.ndim - 3))))


def _signal(figure: FigureBase, subject: Subject, values: Array, relevance: Array) -> None:
    values, relevance = np.atleast_2d(values), np.atleast_2d(relevance)
    if values.shape[0] > values.shape[1]:
        values, relevance = values.T, relevance.T
    steps = np.arange(values.shape[1])
    scale = Scale.of(relevance)
    axes = figure.subplots(len(values), 1, squeeze=False, sharex=True)[:, 0]
    for axis, line, r in zip(axes, values, relevance, strict=True):
        span = (float(np.min(line)), float(np.max(line)))
        room = 0.08 * ((span[1] - span[0]) or 1.0)
        extent = (-0.5, len(line) - 0.5, span[0] - room, span[1] + room)
        drawn = axis.imshow(
            r[None] / scale.limit, cmap=colours(), vmin=-1, vmax=1, aspect="auto", extent=extent
        )
        axis.plot(steps, line, color=INK, linewidth=1.1)
        axis.tick_params(length=0, labelsize=9)
    axes[-1].set_xlabel("position", color=FAINT, fontsize=10)
    _bar(figure, drawn, list(axes), scale, subject)


def _map(figure: FigureBase, subject: Subject, values: Array) -> None:
    axis = figure.subplots()
    scale = Scale.of(values)
    drawn = _heat(axis, values, scale)
    axis.set_xlabel("last axis", color=FAINT, fontsize=10)
    axis.set_ylabel("axis before", color=FAINT, fontsize=10)
    _bar(figure, drawn, [axis], scale, subject)


def _volume(figure: FigureBase, subject: Subject, values: Array) -> None:
    axes = figure.subplots(1, 3, squeeze=False)[0]
    views = [values.sum(axis=k) for k in range(3)]
    scale = Scale.of(np.concatenate([view.ravel() for view in views]))
    for axis, view, along in zip(axes, views, ("first", "second", "third"), strict=True):
        drawn = _heat(axis, view, scale)
        axis.set_title(f"summed along the {along} axis", color=FAINT, fontsize=10)
    _bar(figure, drawn, list(axes), scale, subject)


def _heat(axis: Axes, values: Array, scale: Scale) -> Any:
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


def _bar(figure: FigureBase, drawn: Any, axes: list[Axes], scale: Scale, subject: Subject) -> None:
    bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.4, aspect=30, pad=0.03)
    legend(bar, scale, subject)
