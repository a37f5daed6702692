"""Where a walk is made, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walked_model import Array, Arrays
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.targets.question import Span


@dataclass(frozen=True)
class Point:
    """Inputs at which a row of the batch is to be explained.

    Attributes:
        row: number of the row.
        moved: the inputs that differ from those of the row.
        span: the same at the ends of the part of a line that the point stands for, and what these
            inputs change by from one to the other; None where nothing is weighed.
        width: of that part.
    """

    row: int
    moved: Arrays
    span: Span | None = None
    width: float = 1.0


@dataclass(frozen=True)
class Slopes:
    """What one walk found.

    Attributes:
        slopes: of the inputs that move, float64, shaped like them.
        score: what is explained, float64[samples].
        kept: what is told of tensors inside that are kept, float64.
        kept_slopes: their slopes.
        ledger: the books of the walk.
    """

    slopes: dict[str, Array]
    score: Array
    kept: dict[str, Array]
    kept_slopes: dict[str, Array]
    ledger: Ledger


def is_finite(found: Outcome) -> bool:
    """Whether a walk found finite numbers only."""
    every = (r for channels in found.relevance.values() for r in channels)
    return all(bool(np.isfinite(r).all()) for r in (found.ledger.total().start, *every))


__all__ = ["Point", "Slopes", "is_finite"]
