"""Waves and channels over time, each with its relevance under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.array_panel import colour_bar, heat
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_style import AGAINST, FAINT, FOR, INK, RULE, Scale
from backtrace_onnx.report.time_spans import Track, find_track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Array = npt.NDArray[Any]
DRAWN = 6  # channels that are drawn as waves; more are a map
_BINS = 900  # columns of a wave that the eye tells apart
_STEPS = 300  # columns of its relevance


def height(subject: ExplainedSample, name: str) -> float:
    """Inches that the waves of an input take."""
    track = _track(subject, name)
    count = len(track.names)
    return 0.6 + 1.9 * max(count, 1.6) if count <= DRAWN else 1.6 + 0.16 * min(count, 48)


def draw(figure: FigureBase, subject: ExplainedSample, name: str) -> None:
    """Draw every channel above its relevance, over one axis of time; many channels as one map."""
    track = _track(subject, name)
    relevance = track.laid(subject.relevance(name).astype(np.float64))
    if len(track.names) > DRAWN:
        _map(figure, subject, track, relevance)
        return
    rows = [ratio for _ in track.names for ratio in (1.0, 0.75)]
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    limits = limits_of(relevance)
    for i, called in enumerate(track.names):
        _wave(axes[2 * i], track, track.values[i])
        _relevance(axes[2 * i + 1], track, relevance[i], limits)
        axes[2 * i].set_ylabel(called, color=FAINT, fontsize=10)
        axes[2 * i + 1].set_ylabel("relevance", color=FAINT, fontsize=9)
    axes[-1].set_xlabel(_unit(track), color=FAINT, fontsize=10)
    if (relevance < 0).any() and (relevance > 0).any():
        axes[0].set_title("relevance: up speaks for, down against", color=FAINT, fontsize=10)


def _track(subject: ExplainedSample, name: str) -> Track:
    track = find_track(subject, name)
    assert track is not None
    return track


def _wave(axis: Axes, track: Track, values: Array) -> None:
    """The wave; where there is more of it than columns, from its least to its largest value."""
    times = np.arange(len(values)) / (track.rate or 1.0)
    if len(values) <= _BINS:
        axis.plot(times, values, color=INK, linewidth=1.0)
    else:
        starts = np.linspace(0, len(values), _BINS, endpoint=False).astype(int)
        low, high = (f.reduceat(values, starts) for f in (np.minimum, np.maximum))
        axis.fill_between(times[starts], low, high, color=INK, linewidth=0.4)
    axis.set_xlim(0, len(values) / (track.rate or 1.0))
    _plain(axis)


def _relevance(axis: Axes, track: Track, relevance: Array, limits: tuple[float, float]) -> None:
    """Sums of relevance over short stretches, what speaks for and what against in their colours."""
    sums, edges = stretches(relevance)
    times = (edges - 0.5 * (len(relevance) <= _STEPS)) / (track.rate or 1.0)
    for colour, part in ((FOR, np.maximum(sums, 0)), (AGAINST, np.minimum(sums, 0))):
        if part.any():
            axis.stairs(part, times, fill=True, color=colour)
    axis.axhline(0, color=FAINT, linewidth=0.6)
    axis.set_ylim(*limits)
    _plain(axis)


def stretches(relevance: Array) -> tuple[Array, Array]:
    """Sums of relevance over short stretches, and the places between which these lie."""
    count = min(_STEPS, len(relevance))
    edges = np.linspace(0, len(relevance), count + 1).astype(int)
    return np.add.reduceat(relevance, edges[:-1]), edges


def limits_of(relevance: Array) -> tuple[float, float]:
    """One scale for all channels, with room for what they hold."""
    count = min(_STEPS, relevance.shape[1])
    edges = np.linspace(0, relevance.shape[1], count, endpoint=False).astype(int)
    sums = np.add.reduceat(relevance, edges, axis=1)
    low, high = min(0.0, float(sums.min())), max(0.0, float(sums.max()))
    room = 0.05 * (high - low) or 1.0
    return low - room * (low < 0), high + room * (high > 0 or low == 0)


def _map(figure: FigureBase, subject: ExplainedSample, track: Track, relevance: Array) -> None:
    """Many channels: their relevance as a map over time."""
    axis = figure.subplots()
    scale = Scale.of(relevance)
    drawn = heat(axis, relevance, scale)
    end = relevance.shape[1] / (track.rate or 1.0)
    drawn.set_extent((0, end, len(relevance) - 0.5, -0.5))
    axis.set_aspect("auto")
    if len(track.names) <= 48:
        axis.set_yticks(range(len(track.names)), labels=list(track.names), fontsize=8)
    axis.set_xlabel(_unit(track), color=FAINT, fontsize=10)
    colour_bar(figure, drawn, [axis], scale, subject)


def _unit(track: Track) -> str:
    return "position" if track.rate is None else "seconds"


def _plain(axis: Axes) -> None:
    axis.tick_params(length=0, labelsize=9)
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)
