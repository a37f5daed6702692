"""Complexity: on how few entries relevance lies.

Sources: complexity (Bhatt et al. 2020, arXiv 2005.00631), sparseness (Chalasani et al. 2020, arXiv
1810.06583), that of a histogram (Hedström et al. 2024, arXiv 2401.06465).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.samples import numbers_of

Array = npt.NDArray[Any]


def complexity(relevance: Any) -> Array:
    """float64[samples]: the entropy of |relevance| as shares, in nats.

    It is 0 where all lies on one entry, log(entries) where it lies everywhere alike, NaN where
    there is none. Raises RequestError for relevance that is no array of numbers, or empty.
    """
    shares = _shares(relevance)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    made: Array = 0.0 - (shares * logs).sum(1)
    return made


def histogram_complexity(relevance: Any, *, bins: int = 100) -> Array:
    """float64[samples]: the entropy of a histogram of relevance, in nats.

    It is 0 where relevance is the same everywhere, log(bins) where its values lie evenly between
    the smallest and the largest; NaN where one is not finite. Raises RequestError for no bins, and
    for relevance that is no array of numbers, or empty.
    """
    if bins < 1:
        raise RequestError(f"bins are 1 or more, not {bins}")
    rows = numbers_of(relevance, "relevance")
    made = np.full(len(rows), np.nan)
    for sample, row in enumerate(rows):
        if np.isfinite(row).all():
            made[sample] = complexity(_counts(row, bins)[None])[0]
    return made


def _counts(row: Array, bins: int) -> Array:
    try:
        return np.histogram(row, bins)[0]
    except ValueError:  # next to no two numbers lie between its ends
        return np.array([len(row)])


def sparseness(relevance: Any) -> Array:
    """float64[samples]: the Gini index of |relevance|.

    It is 0 where relevance lies everywhere alike, near 1 where all of it lies on one entry of many,
    NaN where there is none. Raises RequestError as `complexity`.
    """
    shares = np.sort(_shares(relevance), 1)
    count = shares.shape[1]
    made: Array = (2 * np.arange(1, count + 1) - count - 1) @ shares.T / count
    return made


def _shares(relevance: Any) -> Array:
    sizes = np.abs(numbers_of(relevance, "relevance"))
    whole = sizes.sum(1, keepdims=True)
    made: Array = np.divide(sizes, whole, out=np.full_like(sizes, np.nan), where=whole > 0)
    return made


__all__ = ["complexity", "histogram_complexity", "sparseness"]
