"""Localisation: how much relevance lies where the answer is known to lie.

Sources: mass and rank accuracy (Arras et al. 2022, arXiv 2003.07258), the pointing game (Zhang et
al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

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

    They are as many as the mask holds; NaN where it is empty. Arguments are those of `mass_inside`.
    """
    r, inside = _flat(relevance, mask)
    made = np.full(len(r), np.nan)
    for sample, (row, own) in enumerate(zip(r, inside, strict=True)):
        if count := int(own.sum()):
            made[sample] = own[np.argsort(-row, kind="stable")[:count]].mean()
    return made


def pointing_game(relevance: Any, mask: Any) -> Array:
    """bool[samples]: whether the entry of most relevance lies inside.

    Arguments are those of `mass_inside`.
    """
    r, inside = _flat(relevance, mask)
    made: Array = inside[np.arange(len(r)), r.argmax(1)]
    return made


def _flat(relevance: Any, mask: Any) -> tuple[Array, Array]:
    r = np.asarray(relevance, np.float64)
    try:
        inside = np.broadcast_to(np.asarray(mask, bool), r.shape)
    except ValueError:
        raise RequestError(
            f"the mask, {np.shape(mask)}, does not fit relevance, {r.shape}"
        ) from None
    return r.reshape(len(r), -1), inside.reshape(len(r), -1)


__all__ = ["mass_inside", "pointing_game", "rank_inside"]
