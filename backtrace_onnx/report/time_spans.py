"""Channels over time: which inputs they are, and the stretches of time that are ranked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.explained_sample import ExplainedSample

Array = npt.NDArray[Any]
LINES = 4  # channels that are taken for a series where no sidecar says so
LONG = 40
SPANS, CELLS, BANDS = 16, 8, 4  # of one channel; of several, and of a spectrogram; its frequencies


@dataclass(frozen=True)
class Track:
    """Channels over time as people see them.

    Attributes:
        names: of the channels; a single one may have none.
        values: float64[C, T].
        rate: positions a second, where it is known.
        layout: axes of a sample: T, CT or TC.
    """

    names: tuple[str, ...]
    values: Array
    rate: float | None
    layout: str

    def laid(self, sample: Array) -> Array:
        """A sample of the input, or its relevance, as [C, T]."""
        found: Array = {"T": sample[None], "CT": sample, "TC": sample.T}[self.layout]
        return found

    def spans(self) -> Iterator[tuple[int, int]]:
        """Stretches that are ranked: first position and the one after the last."""
        return parts_of(self.values.shape[1], SPANS if len(self.names) == 1 else CELLS)

    def when(self, first: int, last: int) -> str:
        """A stretch in words: seconds where the rate is known."""
        if self.rate is None:
            return f"positions {first}-{last - 1}"
        return seconds(first / self.rate, last / self.rate)


def find_track(subject: ExplainedSample, name: str) -> Track | None:
    """An input as channels over time: the sidecar says so, or it is a few long lines."""
    sample = np.asarray(subject.own(subject.explanation.inputs[name], name))
    entry = subject.series(name)
    if entry is not None:
        return Track(entry.channels or ("",), entry.decode(sample), entry.rate, entry.layout)
    if not _is_series(subject, name, sample):
        return None
    layout = "T" if sample.ndim == 1 else "CT" if sample.shape[0] < sample.shape[1] else "TC"
    values = {"T": sample[None], "CT": sample, "TC": sample.T}[layout].astype(np.float64)
    names = tuple(f"channel {i}" for i in range(len(values))) if len(values) > 1 else ("",)
    return Track(names, values, None, layout)


def ranked_track(subject: ExplainedSample, name: str) -> Track | None:
    """The channels whose stretches are ranked; None for a plain line, which may be features."""
    track = find_track(subject, name)
    line = track is not None and track.layout == "T" and subject.series(name) is None
    return None if line else track


def _is_series(subject: ExplainedSample, name: str, sample: Array) -> bool:
    """Whether numbers without a sidecar are a long line, or a few side by side."""
    known = subject.sidecar is not None and name in subject.sidecar.inputs
    if known or name in subject.explanation.names or sample.dtype.kind not in "fiu":
        return False
    if sample.ndim == 1:
        return bool(sample.size > LONG)
    return sample.ndim == 2 and bool(min(sample.shape) <= LINES and max(sample.shape) > LONG)


def parts_of(size: int, count: int) -> Iterator[tuple[int, int]]:
    """About equal parts of an axis: first place and the one after the last."""
    count = min(count, size)
    return pairwise(round(size * i / count) for i in range(count + 1))


def seconds(first: float, last: float) -> str:
    """A stretch of time in words, as exact as it is short."""
    long = last - first
    digits = next((n for n, least in ((1, 1.0), (2, 0.1), (3, 0.01)) if long > 0.999 * least), 4)
    return f"{first:.{digits}f}-{last:.{digits}f} s"
