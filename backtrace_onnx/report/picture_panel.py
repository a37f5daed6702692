"""Relevance laid over a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.inputs.picture_shapes import canvas, stretched
from backtrace_onnx.report.answers import explained_answer, rival_answer
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import pixels
from backtrace_onnx.report.picture_frame import Frame, find_frame
from backtrace_onnx.report.picture_style import FAINT, INK, Scale, colours, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Array = npt.NDArray[Any]
SMOOTHED_FROM = 96  # pixels along the shorter side
_PERCENTILE = 99.9
_FLOORS = (0.5, 0.8)  # how pale a picture is under its relevance, and one that is dark


def panels(subject: ExplainedSample) -> int:
    """How many panels a picture has: the picture, its relevance, and two channels if there are."""
    return 4 if len(subject.channels) > 1 else 2


def draw(figure: FigureBase, subject: ExplainedSample, name: str) -> None:
    """Draw a picture beside its relevance; in modes with two channels also each channel."""
    frame = shown_frame(subject, name)
    count = panels(subject)
    axes, bars = figure.subplots(2, count, squeeze=False, height_ratios=[1, 0.035])
    axes[0].imshow(frame.picture, interpolation="nearest", extent=frame.whole)
    bars[0].set_axis_off()
    for axis, bar, (title, values) in zip(axes[1:], bars[1:], maps(subject, name), strict=True):
        drawn, scale = _overlay(axis, frame, pixels(subject, name, values))
        legend(figure.colorbar(drawn, cax=bar, orientation="horizontal"), scale, subject)
        axis.set_title(title, color=FAINT, fontsize=11)
    axes[0].set_title("input", color=FAINT, fontsize=11)
    for axis in axes:
        _outline(axis, subject, frame)
        _used(axis, frame)
        _boxed(axis, subject, frame)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)


def maps(subject: ExplainedSample, name: str) -> list[tuple[str, Array]]:
    """Titles and relevance of the panels; the channels add up to the whole."""
    whole = subject.relevance(name)
    if len(subject.channels) < 2:
        return [("relevance", whole)]
    own = [subject.own(values[name], name) for _, values in subject.channels]
    titles = ("for minus against", "what the target brings", "what all else brings")
    target, other = explained_answer(subject), rival_answer(subject)
    if target and other:
        sides = [f"what speaks for {shortened(answer.name, 26)}" for answer in (target, other)]
        titles = (titles[0], sides[0], sides[1])
    return list(zip(titles, (whole, own[0], -own[1]), strict=True))


def shown_frame(subject: ExplainedSample, name: str) -> Frame:
    """What the relevance of an input is drawn on."""
    return find_frame(subject, name, shown_picture(subject, name))


def shown_picture(subject: ExplainedSample, name: str) -> npt.NDArray[np.uint8]:
    """The picture that the model saw, uint8[H, W, 3]; without a sidecar stretched to full range."""
    sample = subject.own(subject.explanation.inputs[name], name)
    entry = subject.image(name)
    if entry is not None:
        return entry.decode(sample)
    laid = canvas(np.asarray(sample))
    return stretched(np.atleast_3d(sample) if laid is None else laid)


def smoothed(values: Array) -> Array:
    """Relevance of a large picture, blurred for the eye; its sum stays the same."""
    side = min(values.shape)
    if side < SMOOTHED_FROM:
        return values
    sigma = side / 75
    reach = np.arange(-int(3 * sigma), int(3 * sigma) + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        values = np.apply_along_axis(_blur, axis, values, weights)
    return values


def _blur(line: Array, weights: Array) -> Array:
    pad = len(weights) // 2
    return np.convolve(np.pad(line, pad, mode="reflect"), weights, mode="valid")


def _overlay(axis: Axes, frame: Frame, values: Array) -> tuple[Any, Scale]:
    """Relevance over a pale gray copy of the picture; a dark picture is made paler."""
    values, scale = scaled(frame, values)
    gray, floor = paled(frame.picture)
    shown: Any = {"vmin": 0, "vmax": 1, "interpolation": "nearest"}
    axis.imshow(floor + (1 - floor) * gray, cmap="gray", extent=frame.whole, **shown)
    shown["vmin"] = -1
    drawn = axis.imshow(values / scale.limit, cmap=colours(), extent=frame.shown, **shown)
    axis.set_xlim(*frame.whole[:2])
    axis.set_ylim(*frame.whole[2:])
    return drawn, scale


def scaled(frame: Frame, values: Array) -> tuple[Array, Scale]:
    """Relevance of every pixel of an input as it is drawn on a frame, and its scale."""
    values = smoothed(frame.cut(values))
    return values, Scale.of(values, _PERCENTILE if values.size > 4096 else 100)


def paled(picture: npt.NDArray[np.uint8]) -> tuple[Array, float]:
    """A picture in gray from 0 to 1, and the lightness that its black gets under relevance."""
    gray: Array = picture.astype(np.float64) @ (0.299, 0.587, 0.114) / 255
    return gray, _FLOORS[0] if gray.mean() > 0.25 else _FLOORS[1]


def ends(scale: Scale, mode: str) -> tuple[str, str]:
    """What the ends of a scale mean, in words."""
    words = ["speaks against", "speaks for"]
    if not (scale.low and scale.high):
        words[scale.low] = "no relevance"
        if mode == "default":
            words[not scale.low] = "most relevance"
    return words[0], words[1]


def legend(bar: Any, scale: Scale, subject: ExplainedSample) -> None:
    """Write what the ends of a colour bar mean, and cut it to the signs that occur."""
    low, high = scale.bounds
    told = zip(ends(scale, subject.explanation.mode), (low, high), strict=True)
    words = [word if word == "no relevance" else f"{word}\n{end:.2g}" for word, end in told]
    bar.ax.set_xlim(low / scale.limit, high / scale.limit)
    bar.set_ticks([low / scale.limit, high / scale.limit], labels=words)
    for label, side in zip(bar.ax.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    bar.ax.tick_params(length=0, labelsize=9, labelcolor=INK)
    bar.outline.set_visible(False)


def _outline(axis: Axes, subject: ExplainedSample, frame: Frame) -> None:
    """The border of a segmentation's mask, where it lies over the picture."""
    mask = subject.mask
    if mask is None:
        return
    flat = mask.reshape(-1, *mask.shape[-2:]).any(axis=0) if mask.ndim >= 2 else None
    if flat is None or not flat.any() or flat.all():
        return
    left, right, bottom, top = _seen(frame)
    rows = top + (np.arange(flat.shape[0]) + 0.5) * (bottom - top) / flat.shape[0]
    columns = left + (np.arange(flat.shape[1]) + 0.5) * (right - left) / flat.shape[1]
    for color, width in (("white", 3.0), ("black", 1.2)):
        axis.contour(columns, rows, flat.astype(float), [0.5], colors=color, linewidths=width)


def _boxed(axis: Axes, subject: ExplainedSample, frame: Frame) -> None:
    """The box that is explained."""
    if subject.box is None:
        return
    left, top, right, bottom = (n - 0.5 for n in frame.back(subject.box))
    x, y = (left, right, right, left, left), (top, top, bottom, bottom, top)
    for color, width in (("white", 3.4), (INK, 1.6)):
        axis.plot(x, y, color=color, linewidth=width)
    axis.set_xlim(*frame.whole[:2])
    axis.set_ylim(*frame.whole[2:])


def _used(axis: Axes, frame: Frame) -> None:
    """The border of what the model saw, where it did not see all of the picture."""
    left, right, bottom, top = frame.shown
    if frame.shown != frame.whole:
        x, y = (left, right, right, left, left), (top, top, bottom, bottom, top)
        axis.plot(x, y, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))


def _seen(frame: Frame) -> tuple[float, float, float, float]:
    """Where the whole input would lie over the picture: left, right, bottom, top."""
    placed = frame.placement
    if placed is None:
        return frame.whole
    left, top, right, bottom = placed.back((0, 0, placed.input[0], placed.input[1]))
    return left - 0.5, right - 0.5, bottom - 0.5, top - 0.5
