"""A text, every token on the shade of its relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.page.scale_legend import ScaleLegend, legend_of
from backtrace_onnx.report.page.stylesheet import shade_class
from backtrace_onnx.report.picture_style import Scale
from backtrace_onnx.report.shaded_text import notes, visible
from backtrace_onnx.report.signed_amounts import signed
from backtrace_onnx.report.text_panel import channels_of, title_of, values_of
from backtrace_onnx.report.token_relevance import TextRelevance, read_text_relevance


@dataclass(frozen=True)
class Mark:
    """A token: as it is shown, its class of style, and what it got."""

    text: str
    shade: str
    against: bool
    told: str


@dataclass(frozen=True)
class TextView:
    """A text, once for each channel after the whole of both.

    Attributes:
        channels: title and marks.
        notes: what is no part of the text.
    """

    name: str
    channels: tuple[tuple[str, tuple[Mark, ...]], ...]
    notes: tuple[str, ...]
    legend: ScaleLegend
    kind: str = "text"


def text_view(subject: ExplainedSample, name: str, before: int | None = None) -> TextView:
    """An input that is a text; `before`: only the tokens up to that place."""
    sentence = read_text_relevance(subject, name)
    kept = [i for i, mark in enumerate(sentence.marks) if before is None or mark.index <= before]
    parts = channels_of(subject)
    values = [[values_of(sentence, channel)[i] for i in kept] for channel in parts]
    scale = Scale.of(np.array([v for own in values for v in own] or [0.0]))
    channels = tuple(
        (title_of(subject, channel) if len(parts) > 1 else "", _marks(sentence, kept, own, scale))
        for channel, own in zip(parts, values, strict=True)
    )
    told = tuple(notes(subject, sentence))
    return TextView(name, channels, told, legend_of(scale, subject.explanation.mode))


def _marks(
    sentence: TextRelevance, kept: Sequence[int], values: Sequence[float], scale: Scale
) -> tuple[Mark, ...]:
    total = sentence.total
    return tuple(
        Mark(
            visible(sentence.marks[i].text),
            shade_class(value / scale.limit),
            value < 0,
            f"{signed(value)} ({percent(abs(value) / total)})",
        )
        for i, value in zip(kept, values, strict=True)
    )


__all__ = ["Mark", "TextView", "text_view"]
