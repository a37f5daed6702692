"""The numbers of a global explanation, apart from what is written and drawn of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from backtrace_onnx.summary.collecting import Share
from backtrace_onnx.summary.drawn_rows import DrawnRows
from backtrace_onnx.summary.means import Slice


@dataclass(frozen=True)
class OverRows:
    """The numbers of a global explanation.

    Attributes:
        whole: all rows. slices: by class or column, as asked.
        rows, skipped: how many were explained, and could not be read.
        share: what relevance is divided by: "inputs", the row's |relevance| of all inputs, or
            "start". Of modules it always is what the row started with.
        resamples, confidence, seed: of the intervals.
        drawn: some rows, for pictures that show rows.
        notes: what was assumed or is doubtful.
    """

    whole: Slice
    slices: tuple[Slice, ...]
    rows: int
    skipped: int
    share: Share
    resamples: int
    confidence: float
    seed: int
    drawn: DrawnRows = field(repr=False)
    notes: tuple[str, ...] = ()
