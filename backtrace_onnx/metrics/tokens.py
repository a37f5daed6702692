"""Token perturbation of language models: scores while tokens give way to the id of a mask.

Source: DLBacktrace's ToPEQ (arXiv 2411.12643): MoRF and LeRF curves, and the area between them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.flipping import Order, flip
from backtrace_onnx.metrics.samples import numbers_of, samples_of
from backtrace_onnx.metrics.scores import Predict, classes_of

Array = npt.NDArray[Any]


class TokenPerturbation(NamedTuple):
    """Areas under the curves of a target's score while tokens are replaced: float64[samples] each.

    Attributes:
        morf: the most relevant first; smaller is better. lerf: the least relevant first; larger is.
    """

    morf: Array
    lerf: Array

    @property
    def delta(self) -> Array:
        """`lerf` less `morf`: larger is better, 0 is chance."""
        return self.lerf - self.morf


def token_perturbation(
    predict: Predict,
    ids: Any,
    relevance: Any,
    target: Any = None,
    *,
    replace: int,
    special: Collection[int] = (),
) -> TokenPerturbation:
    """The score while one token after the other is replaced.

    Args:
        predict: ids[samples, tokens] -> y[samples, classes], probabilities or scores.
        ids: int[samples, tokens]. relevance: of every token, shaped like ids.
        target: class of each sample; default: the predicted one.
        replace: the id of a mask, or of what else means nothing.
        special: ids that stay where they are and have no rank: padding, ends of texts.

    Raises RequestError where nothing can be replaced, or arguments do not fit.
    """
    ids, r = samples_of(ids, "ids"), numbers_of(relevance, "relevance")
    if ids.ndim != 2 or r.shape != ids.shape or np.ndim(relevance) != 2:
        raise RequestError(f"ids and relevance are [samples, tokens], not {ids.shape}, {r.shape}")
    named = None if target is None else classes_of(target, len(ids))
    made: dict[Order, list[float]] = {"morf": [], "lerf": []}
    for k, row in enumerate(ids):
        free = np.flatnonzero(~np.isin(row, list(special)))
        if not len(free):
            raise RequestError(f"sample {k} has no tokens but special ones")

        def scores(some: Array, row: Array = row, free: Array = free) -> Any:
            whole = np.repeat(row[None], len(some), 0)
            whole[:, free] = some
            return predict(whole)

        one = None if named is None else named[k : k + 1]
        how: Any = {"replace": replace, "steps": len(free)}
        for order, areas in made.items():
            given = (scores, row[None, free], r[k, free][None], one)
            areas.append(float(flip(*given, order=order, **how).area[0]))
    return TokenPerturbation(np.array(made["morf"]), np.array(made["lerf"]))


__all__ = ["TokenPerturbation", "token_perturbation"]
