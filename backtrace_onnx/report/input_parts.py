"""The parts of an input that are ranked: columns of tables, regions of pictures, rows, entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import is_past, is_picture, pixels
from backtrace_onnx.report.picture_frame import Frame, find_placement
from backtrace_onnx.report.time_spans import BANDS, CELLS, Track, parts_of, ranked_track, seconds
from backtrace_onnx.report.token_relevance import read_text_relevance

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class InputPart:
    """A part of an input and its relevance.

    Attributes:
        value: what the part holds, as text, where that is known.
        share: |relevance| over the sum of |relevance| of all parts of all inputs.
        channels: relevance by channel.
        box: of a region of a picture: first row, first column, row and column after the last.
        index: of an entry: its place in the sample.
        span: of a stretch of time: its first position and the one after its last.
        members: of a group: what it was said to hold.
    """

    input: str
    name: str
    relevance: float
    channels: tuple[float, ...]
    value: str | None = None
    box: tuple[int, int, int, int] | None = None
    index: tuple[int, ...] | None = None
    span: tuple[int, int] | None = None
    share: float = 0.0
    members: tuple[str, ...] | None = None

    def __str__(self) -> str:
        if self.members is not None and self.value is None:
            return f"{self.name} ({', '.join(self.members)})"
        return self.name if self.value is None else f"{self.name} = {self.value}"


def edges(size: int) -> list[int]:
    """Borders of about eight cells along an axis of a picture, equal ones if possible."""
    count = next((n for n in (8, 7, 9, 6, 10) if size % n == 0), min(8, size))
    return [round(size * i / count) for i in range(count + 1)]


def parts_of_input(subject: ExplainedSample, name: str) -> Iterator[InputPart]:
    """The parts of one input, by what it is: regions, words, columns, stretches, rows, entries."""
    sample = subject.relevance(name)
    own = [subject.own(values[name], name) for _, values in subject.channels]
    if is_past(subject, name):
        return _positions(name, sample, own)
    if (track := ranked_track(subject, name)) is not None:
        return _spans(track, name, [track.laid(r) for r in (sample, *own)])
    if (sound := subject.spectrogram(name)) is not None:
        return _cells(sound, name, [sound.plane(r) for r in (sample, *own)])
    if is_picture(subject, name):
        return _regions(subject, name, sample, own)
    if subject.is_text(name):
        return _tokens(subject, name)
    if subject.table(name) is not None and sample.ndim == 1:
        return _columns(subject, name, sample, own)
    if sample.ndim == 2 and min(sample.shape) > 1:
        return _rows(name, sample, own)
    return _entries(subject, name, sample, own)


def _regions(
    subject: ExplainedSample, name: str, sample: Array, own: list[Array]
) -> Iterator[InputPart]:
    wholes = [pixels(subject, name, r) for r in (sample, *own)]
    frame = _frame(subject, name)
    maps = wholes if frame is None else [frame.cut(m) for m in wholes]
    yield from _padding(name, frame, wholes)
    rows, columns = edges(maps[0].shape[0]), edges(maps[0].shape[1])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            sums = [float(m[top:bottom, left:right].sum()) for m in maps]
            box = _placed(frame, (top, left, bottom, right))
            text = f"rows {box[0]}-{box[2]}, columns {box[1]}-{box[3]}"
            yield InputPart(name, text, sums[0], tuple(sums[1:]), box=box)


def _frame(subject: ExplainedSample, name: str) -> Frame | None:
    """Where the picture lies in the input, if places are told in its own pixels."""
    placement = find_placement(subject, name)
    if placement is None:
        return None
    return Frame(np.zeros((1, 1, 3), np.uint8), placement.size, placement)


def _padding(name: str, frame: Frame | None, maps: list[Array]) -> Iterator[InputPart]:
    """What the padding around a picture holds, as a part of its own."""
    sums = [frame.padding(m) for m in maps] if frame else [None]
    found = [s for s in sums if s is not None]
    if found:
        yield InputPart(name, "padding", found[0], tuple(found[1:]))


def _placed(frame: Frame | None, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Rows and columns of what was cut out of an input, in the picture's own pixels."""
    if frame is None or frame.placement is None:
        return box
    x, y = frame.placement.inside[:2]
    top, left, bottom, right = box
    found = [round(n) for n in frame.back((x + left, y + top, x + right, y + bottom))]
    return found[1], found[0], found[3], found[2]


def _spans(track: Track, name: str, maps: list[Array]) -> Iterator[InputPart]:
    """Stretches of time of every channel."""
    for channel, called in enumerate(track.names):
        for first, last in track.spans():
            sums = [float(m[channel, first:last].sum(dtype=np.float64)) for m in maps]
            text = f"{called}, {track.when(first, last)}" if called else track.when(first, last)
            at = (channel, first) if len(track.names) > 1 else None
            yield InputPart(name, text, sums[0], tuple(sums[1:]), index=at, span=(first, last))


def _cells(sound: SpectrogramInput, name: str, maps: list[Array]) -> Iterator[InputPart]:
    """Stretches of time in bands of frequencies."""
    rows, columns = maps[0].shape
    for low, high in parts_of(rows, BANDS):
        hertz = f"{sound.hertz[low]:.0f}-{sound.hertz[high - 1]:.0f} Hz"
        for first, last in parts_of(columns, CELLS):
            sums = [float(m[low:high, first:last].sum(dtype=np.float64)) for m in maps]
            when = seconds(sound.seconds(first), sound.seconds(last))
            box = (low, first, high, last)
            yield InputPart(name, f"{when}, {hertz}", sums[0], tuple(sums[1:]), box=box)


def _tokens(subject: ExplainedSample, name: str) -> Iterator[InputPart]:
    sentence = read_text_relevance(subject, name)
    for mark in (*sentence.marks, *sentence.special):
        text = repr(mark.text.strip(" ") or mark.text)[1:-1]
        yield InputPart(name, text, mark.relevance, mark.channels, index=(mark.index,))


def _columns(
    subject: ExplainedSample, name: str, sample: Array, own: list[Array]
) -> Iterator[InputPart]:
    table = subject.table(name)
    values = subject.own(subject.explanation.inputs[name], name)
    for feature, slots in table.columns() if table else ():
        sums = tuple(float(r[slots].sum()) for r in own)
        value = feature.decode(values[slots])
        yield InputPart(name, feature.name, float(sample[slots].sum()), sums, value)


def _rows(name: str, sample: Array, own: list[Array]) -> Iterator[InputPart]:
    for i, row in enumerate(sample):
        sums = tuple(float(r[i].sum()) for r in own)
        yield InputPart(name, f"{name}[{i}, :]", float(row.sum()), sums, index=(i,))


def _positions(name: str, sample: Array, own: list[Array]) -> Iterator[InputPart]:
    for i in range(sample.shape[1]):
        sums = tuple(float(r[:, i].sum()) for r in own)
        yield InputPart(name, f"{name}[:, {i}, :]", float(sample[:, i].sum()), sums, index=(i,))


def _entries(
    subject: ExplainedSample, name: str, sample: Array, own: list[Array]
) -> Iterator[InputPart]:
    values = subject.own(subject.explanation.inputs[name], name)
    names = subject.explanation.names.get(name, ())
    largest = np.argsort(-np.abs(sample), axis=None, kind="stable")[:_MOST]
    for flat in largest:
        at = tuple(int(i) for i in np.unravel_index(flat, sample.shape))
        place = at[0] if at else 0
        known = len(at) < 2 and place < len(names)
        sums = tuple(float(r[at]) for r in own)
        text = shown(values[at], 6 if known else 4)
        called = names[place] if known else _spelled(name, at)
        yield InputPart(name, called, float(sample[at]), sums, text, index=at)


_MOST = 1000  # entries that a ranking of a large array goes down to


def shown(value: Any, digits: int) -> str:
    """A value of an input as text."""
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:.{digits}g}"
    return str(value) or "(empty)"


def _spelled(name: str, at: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, at))}]" if at else name
