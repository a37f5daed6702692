"""Axioms: what relevance must add up to (Sundararajan et al. 2017, arXiv 1703.01365)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.metrics.replacing import Replacement
from backtrace_onnx.metrics.scores import Predict, TargetScores

Array = npt.NDArray[Any]


def completeness(
    predict: Predict,
    x: Any,
    relevance: Any,
    target: Any = None,
    *,
    replace: Any = "zeros",
    background: Any = None,
) -> Array:
    """float64[samples]: the sum of relevance, less the score's difference to that of a baseline.

    The baseline is the input, all of it replaced. 0 says that relevance adds up to what is
    explained. Arguments, and what is raised, are those of `faithfulness_correlation`.
    """
    x = np.asarray(x)
    scores, fill = TargetScores(predict, x, target), Replacement(x, replace, background)
    base = np.array([scores.of(i, fill(i, 1))[0] for i in range(len(x))])
    sums: Array = np.asarray(relevance, np.float64).reshape(len(x), -1).sum(1)
    made: Array = sums - (scores.whole - base)
    return made


__all__ = ["completeness"]
