"""Waves and channels over time, each above its relevance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.page.map_view import MapView, track_map
from backtrace_onnx.report.series_panel import DRAWN, limits_of, stretches
from backtrace_onnx.report.time_spans import find_track

Array = npt.NDArray[Any]
WIDE, HIGH = 900, 100
"""The drawing's own units: a channel is as wide and as high as that, whatever it is shown as."""


@dataclass(frozen=True)
class Strip:
    """One channel: its wave as a path, filled where it has more points than can be told apart.

    Attributes:
        for_, against: paths of what speaks for, and against. zero: where nothing does.
    """

    name: str
    wave: str
    filled: bool
    for_: str
    against: str
    zero: float


@dataclass(frozen=True)
class SeriesView:
    """Channels over one axis of time."""

    name: str
    strips: tuple[Strip, ...]
    unit: str
    end: str
    both: bool
    told: str
    kind: str = "series"


def series_view(subject: ExplainedSample, name: str) -> SeriesView | MapView:
    """An input that is a few channels over time; of many their map."""
    track = find_track(subject, name)
    assert track is not None
    relevance = track.laid(subject.relevance(name).astype(np.float64))
    if len(track.names) > DRAWN:
        return track_map(subject, name, track, relevance)
    low, high = limits_of(relevance)
    strips = tuple(
        _strip(called, track.values[i], relevance[i], low, high)
        for i, called in enumerate(track.names)
    )
    length = relevance.shape[1]
    rate = track.rate
    return SeriesView(
        name,
        strips,
        "position" if rate is None else "seconds",
        str(length - 1) if rate is None else f"{length / rate:.4g}",
        bool((relevance < 0).any() and (relevance > 0).any()),
        f"{name} over time and its relevance; the stretches with most stand in the table below.",
    )


def _strip(name: str, values: Array, relevance: Array, low: float, high: float) -> Strip:
    wave, filled = _wave(values)
    zero = HIGH * high / (high - low)
    sums, edges = stretches(relevance)
    places = edges / len(relevance) * WIDE
    up, down = (
        _bars(places, zero - HIGH / (high - low) * part, zero)
        for part in (np.maximum(sums, 0), np.minimum(sums, 0))
    )
    return Strip(name, wave, filled, up, down, round(zero, 2))


def _wave(values: Array) -> tuple[str, bool]:
    """A line through all values; of more than can be told apart, from least to largest."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    spread = (high - low) or 1.0

    def height(v: Array) -> Array:
        made: Array = HIGH * (high - np.nan_to_num(v)) / spread
        return made

    if len(values) <= WIDE:
        across = (np.arange(len(values)) + 0.5) / len(values) * WIDE
        return f"M{_points(across, height(values))}", False
    starts = np.linspace(0, len(values), WIDE, endpoint=False).astype(int)
    least, most = (f.reduceat(values, starts) for f in (np.minimum, np.maximum))
    across = np.arange(WIDE, dtype=np.float64)
    there, back = _points(across, height(most)), _points(across[::-1], height(least)[::-1])
    return f"M{there} {back}Z", True


def _bars(places: Array, tops: Array, zero: float) -> str:
    """Steps between the zero line and the tops, drawn only where they are apart."""
    return "".join(
        f"M{a:.1f} {zero:.1f}V{top:.1f}H{b:.1f}V{zero:.1f}Z"
        for a, b, top in zip(places[:-1], places[1:], tops, strict=True)
        if abs(top - zero) > 0.05
    )


def _points(across: Array, down: Array) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))


__all__ = ["SeriesView", "Strip", "series_view"]
