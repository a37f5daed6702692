"""Perturbation curves: units are replaced one after the other, and the score is watched.

Sources: pixel flipping (Bach et al. 2015), MoRF, LeRF and the area between their curves, ABPC
(Samek et al. 2017), deletion and insertion (Petsiuk et al. 2018). Of tokens, replaced by the id of
a mask, it is the token perturbation of language models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.scores import Predict, Trial

Array = npt.NDArray[Any]
Order = Literal["morf", "lerf", "random"]
"""Which units go first: the most relevant, the least relevant, or any."""


@dataclass(frozen=True)
class Flipping:
    """Scores of the targets while units are replaced.

    Attributes:
        scores: float64[samples, steps + 1]; the first is that of the sample as it is.
        parts: float64[steps + 1]: of the units, how many are replaced by then, from 0 to 1.
    """

    scores: Array
    parts: Array

    @property
    def area(self) -> Array:
        """float64[samples]: the area under the curve, its mean height, by trapezoids."""
        middles = (self.scores[:, 1:] + self.scores[:, :-1]) / 2
        made: Array = middles @ np.diff(self.parts)
        return made


def flip(
    predict: Predict,
    x: Any,
    relevance: Any,
    target: Any = None,
    *,
    order: Order = "morf",
    steps: int = 20,
    insertion: bool = False,
    replace: Any = "zeros",
    background: Any = None,
    units: Any = None,
    seed: int = 0,
) -> Flipping:
    """The score while units are replaced, in the order of their relevance.

    Args:
        order: "morf": the most relevant first; "lerf": the least relevant first; "random". Ties go
            in the order of the units.
        steps: in how many steps all are replaced; at most one for each unit.
        insertion: all are replaced at first, and put back in that order.

    Other arguments, and what is raised, are those of `faithfulness_correlation`.
    """
    if order not in get_args(Order) or steps < 1:
        raise RequestError(f"order is {', '.join(get_args(Order))}, steps are 1 or more")
    trial = Trial.of(predict, x, relevance, target, units, replace, background, seed)
    count = trial.count
    ends = np.unique(np.round(np.linspace(0, count, min(steps, count) + 1)).astype(np.int64))
    made = []
    for sample, relevant in enumerate(trial.relevance):
        rank = np.empty(count, np.int64)
        rank[_ordered(relevant, order, seed)] = np.arange(count)
        made.append(trial.scores_without(sample, (rank < ends[:, None]) ^ insertion, 0))
    return Flipping(np.stack(made), ends / count)


def _ordered(r: Array, order: Order, seed: int) -> Array:
    if order == "random":
        return np.random.default_rng(seed).permutation(len(r))
    return np.argsort(-r if order == "morf" else r, kind="stable")


def abpc(predict: Predict, x: Any, relevance: Any, target: Any = None, **how: Any) -> Array:
    """float64[samples]: the area between two perturbation curves (ABPC).

    One curve replaces the least relevant units first (LeRF), the other the most relevant ones
    (MoRF), which should lower the score sooner: larger is better, 0 is chance. Arguments, and what
    is raised, are those of `flip`, but for `order`.
    """
    least = flip(predict, x, relevance, target, order="lerf", **how)
    most = flip(predict, x, relevance, target, order="morf", **how)
    return least.area - most.area


__all__ = ["Flipping", "Order", "abpc", "flip"]
