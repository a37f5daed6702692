"""What an input is to people, and so how it is drawn: picture, text, series, table, ..."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.picture_shapes import canvas, looks_like_picture
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.time_spans import find_track

Array = npt.NDArray[Any]
Kind = Literal["text", "series", "spectrogram", "picture", "bars", "array"]


def kind_of(subject: ExplainedSample, name: str) -> Kind:
    """How an input is drawn: "bars" where its entries have names or are few in one line."""
    if subject.is_text(name):
        return "text"
    sample = subject.relevance(name)
    if find_track(subject, name) is not None:
        return "series"
    if subject.spectrogram(name) is not None:
        return "spectrogram"
    if is_picture(subject, name):
        return "picture"
    named = subject.table(name) is not None or subject.is_column(name)
    one = sample.ndim == 0 or sample.size == max(sample.shape)
    return "bars" if named or one else "array"


def is_picture(subject: ExplainedSample, name: str) -> bool:
    """Whether an input is a picture: the sidecar says so, or its shape looks like one."""
    if is_past(subject, name) or subject.spectrogram(name) or subject.series(name):
        return False
    if subject.image(name) is not None:
        return True
    if subject.is_text(name) or subject.table(name) or name in subject.explanation.names:
        return False
    operators = {entry.operator for entry in subject.explanation.ledger.values()}
    return looks_like_picture(subject.relevance(name), operators)


def is_past(subject: ExplainedSample, name: str) -> bool:
    """Whether an input [samples, heads, positions, features] holds a language model's past."""
    x = subject.explanation.inputs[name]
    return "past" in name.lower() and x.dtype.kind == "f" and x.ndim == 4


def pixels(subject: ExplainedSample, name: str, relevance: Array) -> Array:
    """Relevance of every pixel [H, W] of a sample shaped like a picture: the sum over channels."""
    entry = subject.image(name)
    laid = None if entry else canvas(relevance)
    axis = _axis(entry) if entry else 0
    total: Array = (
        relevance.sum(axis=axis, dtype=np.float64)
        if laid is None
        else laid.sum(axis=2, dtype=np.float64)
    )
    return total


def _axis(entry: ImageInput) -> int:
    return 0 if entry.layout == "NCHW" else 2
