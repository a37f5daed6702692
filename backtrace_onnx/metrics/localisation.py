"""Localisation: how much relevance lies where the answer is known to lie.

Sources: mass and rank accuracy (Arras et al. 2022, arXiv 2003.07258), the pointing game (Zhang et
al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.samples import numbers_of, samples_of

Array = npt.NDArray[Any]


def mass_inside(relevance: Any, mask: Any) -> Array:
    """float64[samples]: the part of positive relevance that lies inside; NaN where there is none.

    Args:
        relevance: [samples, ...]. mask: bool of the same shape, or one that broadcasts to it.
    """
    r, inside = _flat(relevance, mask)
    positive = np.maximum(r, 0)
    whole = positive.sum(1)
    made: Array = np.full(len(r), np.nan)
    np.divide((positive * inside).sum(1), whole, out=made, where=whole > 0)
    return made


def rank_inside(relevance: Any, mask: Any) -> Array:
    """float64[samples]: the part of the most relevant entries that lies inside.

    They are as many as the mask holds; NaN where it is empty, or relevance is not finite. Of
    entries that tie for the last places the part that lies inside counts. Arguments are those of
    `mass_inside`.
    """
    r, inside = _flat(relevance, mask)
    made = np.full(len(r), np.nan)
    for sample, (row, own) in enumerate(zip(r, inside, strict=True)):
        count = int(own.sum())
        if count and np.isfinite(row).all():
            least = np.partition(row, -count)[-count]
            above, ties = row > least, row == least
            left = count - int(above.sum())
            made[sample] = (own[above].sum() + left * own[ties].mean()) / count
    return made


def pointing_game(relevance: Any, mask: Any) -> Array:
    """bool[samples]: whether the entry of most relevance lies inside; of several all must.

    Arguments are those of `mass_inside`. Raises RequestError where relevance is not finite.
    """
    r, inside = _flat(relevance, mask)
    if not np.isfinite(r).all():
        raise RequestError("relevance holds NaN or Inf, which points nowhere")
    made: Array = (inside | (r < r.max(1, keepdims=True))).all(1)
    return made


def _flat(relevance: Any, mask: Any) -> tuple[Array, Array]:
    r, own = samples_of(relevance, "relevance"), np.asarray(mask)
    if own.dtype != bool and (own.dtype.kind not in "iuf" or not np.isin(own, (0, 1)).all()):
        raise RequestError("a mask is true and false, or 1 and 0")
    try:
        inside = np.broadcast_to(own.astype(bool), r.shape)
    except ValueError:
        raise RequestError(
            f"the mask, {np.shape(mask)}, does not fit relevance, {r.shape}"
        ) from None
    return numbers_of(r, "relevance"), inside.reshape(len(r), -1)


__all__ = ["mass_inside", "pointing_game", "rank_inside"]
