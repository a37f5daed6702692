"""What the entries of a sample are called, for groups of them."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import is_picture
from backtrace_onnx.report.token_relevance import word_places
from backtrace_onnx.results.group_members import EntryNames


def entry_names_of(subject: ExplainedSample) -> EntryNames:
    """What the entries of a sample's inputs are called, as the explanation and the sidecar say."""
    e = subject.explanation
    shapes = {name: np.shape(subject.own(x, name)) for name, x in e.inputs.items()}
    names = {**e.names, **(subject.sidecar.names() if subject.sidecar else {})}
    pictures: dict[str, tuple[int, int]] = {}
    times: dict[str, tuple[int, float | None]] = {}
    for name in e.inputs:
        entry, series = subject.image(name), subject.series(name)
        if series is not None:
            times[name] = (1 if series.layout == "CT" else 0, series.rate)
        elif is_picture(subject, name):
            known = {"NCHW": (1, 2), "NHWC": (0, 1)}[entry.layout] if entry else None
            axes = known or picture_axes(subject.relevance(name))
            pictures |= {name: axes} if axes else {}
    words = {name: word_places(subject, name) for name in subject.texts}
    return EntryNames(
        shapes, {n: own for n, own in names.items() if n in shapes}, pictures, times, words
    )
