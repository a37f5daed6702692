"""Spectrograms with their relevance, over axes of time and frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import legend
from backtrace_onnx.report.picture_style import FAINT, Scale, colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Array = npt.NDArray[Any]
_HERTZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)


def height(subject: ExplainedSample, name: str) -> float:
    """Inches that a spectrogram and its relevance take."""
    return 5.6


def draw(figure: FigureBase, subject: ExplainedSample, name: str) -> None:
    """Draw a spectrogram, and below it its relevance over a pale copy of it."""
    sound = subject.spectrogram(name)
    assert sound is not None
    shown = sound.plane(np.asarray(subject.own(subject.explanation.inputs[name], name), np.float64))
    relevance = sound.plane(subject.relevance(name).astype(np.float64))
    axes = figure.subplots(2, 1, sharex=True)
    gray = spread(shown)
    scale = Scale.of(relevance, 99.9 if relevance.size > 4096 else 100)
    axes[0].imshow(gray, cmap="gray_r", vmin=0, vmax=1, **_placed(sound, shown))
    axes[1].imshow(0.35 * gray, cmap="gray_r", vmin=0, vmax=1, **_placed(sound, shown))
    drawn = axes[1].imshow(
        relevance / scale.limit, cmap=colours(), vmin=-1, vmax=1, **_placed(sound, shown)
    )
    for axis, title in zip(axes, ("input", "relevance"), strict=True):
        axis.set_title(title, color=FAINT, fontsize=11)
        _frequencies(axis, sound)
    axes[1].set_xlabel("seconds", color=FAINT, fontsize=10)
    bar = figure.colorbar(
        drawn, ax=list(axes), orientation="horizontal", shrink=0.4, aspect=30, pad=0.03
    )
    legend(bar, scale, subject)


def _placed(sound: SpectrogramInput, shown: Array) -> dict[str, Any]:
    """Low frequencies at the bottom, time in seconds."""
    rows, columns = shown.shape
    extent = (0.0, sound.seconds(columns), -0.5, rows - 0.5)
    return {"extent": extent, "aspect": "auto", "origin": "lower", "interpolation": "nearest"}


def spread(values: Array) -> Array:
    """Values as gray from 0 to 1, few at the ends run over."""
    low, high = (float(np.percentile(values, p)) for p in (1, 99.8))
    gray: Array = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    return gray


def _frequencies(axis: Axes, sound: SpectrogramInput) -> None:
    places, labels = frequencies(sound)
    axis.set_yticks(places, labels=labels)
    axis.tick_params(length=0, labelsize=9)


def frequencies(sound: SpectrogramInput) -> tuple[list[float], list[str]]:
    """Rows of a spectrogram whose frequencies are named, and their names."""
    rows = np.arange(sound.rows)
    known = [h for h in _HERTZ if sound.hertz[0] <= h <= sound.hertz[-1]]
    if sound.bands is None:
        known = [h for h in known if h >= sound.hertz[-1] / 8]
    places = [float(np.interp(h, sound.hertz, rows)) for h in known]
    return places, [f"{h / 1000:g} kHz" if h >= 1000 else f"{h} Hz" for h in known]
