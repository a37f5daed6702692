"""Axioms: what relevance must add up to (Sundararajan et al. 2017, arXiv 1703.01365)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.replacing import Replacement
from backtrace_onnx.metrics.samples import numbers_of, relevance_of, samples_of
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
    x = samples_of(x, "x")
    sums: Array = relevance_of(relevance, x).sum(1)
    scores, fill = TargetScores(predict, x, target), Replacement(x, replace, background)
    base = np.array([scores.of(i, fill(i, 1))[0] for i in range(len(x))])
    made: Array = sums - (scores.whole - base)
    return made


def conservation(relevance: Any, score: Any) -> Array:
    """float64[samples]: the part of the score that relevance adds up to.

    1 is conserved (Bach et al. 2015); NaN where the score is 0.

    Args:
        relevance: [samples, ...]. score: that relevance started from, float[samples].

    Raises RequestError where there are not as many scores as samples.
    """
    sums = numbers_of(relevance, "relevance").sum(1)
    whole = numbers_of(np.atleast_1d(score), "score").reshape(-1)
    if whole.shape != sums.shape:
        raise RequestError(f"there are {len(whole)} scores for {len(sums)} samples")
    made: Array = np.divide(sums, whole, out=np.full_like(sums, np.nan), where=whole != 0)
    return made


__all__ = ["completeness", "conservation"]
