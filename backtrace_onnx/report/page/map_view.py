"""Relevance as a map that is no picture's: arrays, volumes, spectrograms, many channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.array_panel import views
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.page.map_images import map_image, picture_image
from backtrace_onnx.report.page.scale_legend import ScaleLegend, legend_of
from backtrace_onnx.report.page.writer import Safe
from backtrace_onnx.report.picture_style import Scale
from backtrace_onnx.report.spectrogram_panel import frequencies, spread
from backtrace_onnx.report.time_spans import Track

Array = npt.NDArray[Any]
_MOST = 1200
"""Rows or columns of a map that a page holds; neighbours of larger ones are added up."""


@dataclass(frozen=True)
class OneMap:
    """A map, over a gray picture if there is one."""

    title: str
    image: Safe
    under: Safe | None
    told: str


@dataclass(frozen=True)
class MapView:
    """Maps side by side, with the names of their axes.

    Attributes:
        across, down: what the axes are. ends: the first and the last place across.
        rows: names of places down, each with how far down it is, in percent.
        square: whether a cell is as wide as it is high.
    """

    name: str
    maps: tuple[OneMap, ...]
    legend: ScaleLegend
    across: str
    down: str
    ends: tuple[str, str]
    rows: tuple[tuple[str, float], ...] = ()
    kind: str = "map"


def array_view(subject: ExplainedSample, name: str) -> MapView:
    """An array that is neither picture, series nor table."""
    found = views(subject.relevance(name))
    scale = Scale.of(np.concatenate([values.ravel() for _, values in found]))
    made = tuple(_map(title, values, scale, name) for title, values in found)
    single = len(found) == 1
    last = str(found[0][1].shape[1] - 1)
    words = ("last axis", "axis before") if single else ("", "")
    legend = legend_of(scale, subject.explanation.mode)
    return MapView(name, made, legend, *words, ends=("0", last) if single else ("", ""))


def spectrogram_view(subject: ExplainedSample, name: str) -> MapView:
    """A spectrogram, and its relevance over a pale copy of it; low frequencies at the bottom."""
    sound = subject.spectrogram(name)
    assert sound is not None
    shown = sound.plane(np.asarray(subject.own(subject.explanation.inputs[name], name), np.float64))
    relevance = sound.plane(subject.relevance(name).astype(np.float64))[::-1]
    gray = spread(shown)[::-1]
    scale = Scale.of(relevance, 99.9 if relevance.size > 4096 else 100)
    nothing = map_image(np.zeros((1, 1)), 1.0)
    made = (
        OneMap("input", nothing, _gray(gray), f"The sound {name}."),
        OneMap("relevance", _small(relevance, scale), _gray(0.35 * gray), _told(name)),
    )
    rows = len(gray)
    places, labels = frequencies(sound)
    told = [(text, 100 * (rows - 0.5 - at) / rows) for at, text in zip(places, labels, strict=True)]
    legend = legend_of(scale, subject.explanation.mode)
    end = f"{sound.seconds(gray.shape[1]):.3g}"
    return MapView(name, made, legend, "seconds", "", ("0", end), tuple(told))


def track_map(subject: ExplainedSample, name: str, track: Track, relevance: Array) -> MapView:
    """Many channels over time: a row for each."""
    scale = Scale.of(relevance)
    count = len(track.names)
    every = -(-count // 24)
    rows = [(track.names[i], 100 * (i + 0.5) / count) for i in range(0, count, every)]
    length = relevance.shape[1]
    end = str(length - 1) if track.rate is None else f"{length / track.rate:.3g}"
    unit = "position" if track.rate is None else "seconds"
    legend = legend_of(scale, subject.explanation.mode)
    made = (_map("", relevance, scale, name),)
    return MapView(name, made, legend, unit, "", ("0", end), tuple(rows))


def _map(title: str, values: Array, scale: Scale, name: str) -> OneMap:
    return OneMap(title, _small(values, scale), None, _told(name))


def _told(name: str) -> str:
    return f"Map of the relevance of {name}; the parts with most of it stand in the table below."


def _small(values: Array, scale: Scale) -> Safe:
    """The image of a map; where it has too many cells, of the sums of neighbours."""
    limit = scale.limit
    for axis in (0, 1):
        if values.shape[axis] > _MOST:
            edges = np.linspace(0, values.shape[axis], _MOST, endpoint=False).astype(int)
            values = np.add.reduceat(values, edges, axis=axis)
            limit = Scale.of(values, 99.9).limit
    return map_image(values, limit)


def _gray(darkness: Array) -> Safe:
    picture = np.rint(255 * (1 - darkness)).astype(np.uint8)
    return picture_image(np.repeat(picture[..., None], 3, axis=2))


__all__ = ["MapView", "OneMap", "array_view", "spectrogram_view", "track_map"]
