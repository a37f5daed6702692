"""Faithfulness: does relevance tell how the score moves when its inputs are taken away?

Sources: faithfulness correlation (Bhatt et al. 2020, arXiv 2005.00631), faithfulness estimate
(Alvarez-Melis and Jaakkola 2018, arXiv 1806.07538), fidelity by sparse random removal (Zheng et al.
2024, arXiv 2410.02970).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.removal import drawn, sets_removed, units_removed
from backtrace_onnx.metrics.scores import Predict, Trial, correlation

Array = npt.NDArray[Any]


def faithfulness_correlation(
    predict: Predict,
    x: Any,
    relevance: Any,
    target: Any = None,
    *,
    size: int | None = None,
    runs: int = 100,
    replace: Any = "zeros",
    background: Any = None,
    units: Any = None,
    seed: int = 0,
) -> Array:
    """float64[samples]: whether random sets of units matter to the score as relevance says.

    It is Pearson's correlation, over the sets, of a set's summed relevance with what the score
    loses where the set is replaced: from -1 to 1, larger is better.

    Args:
        predict: x[samples, ...] -> y[samples, classes].
        x: inputs [samples, ...]. relevance: shaped like x.
        target: class of each sample; default: the predicted one.
        size: units in a set; default a fifth of them. runs: how many sets.
        replace: what takes the place of a set: "zeros", "mean", "blur", "background" (a row of it,
            drawn anew), a number or an array. background: samples [rows, ...].
        units: int[...] shaped like a sample: entries of one number are one unit; default: each.
        seed: of the draws; a sample's do not depend on its batch.

    Raises RequestError for arguments that do not fit.
    """
    trial = Trial.of(predict, x, relevance, target, units, replace, background, seed)
    made = sets_removed(trial, size, runs, seed)
    return np.array([one.correlation(r) for one, r in zip(made, trial.relevance, strict=True)])


def faithfulness_estimate(
    predict: Predict,
    x: Any,
    relevance: Any,
    target: Any = None,
    *,
    replace: Any = "zeros",
    background: Any = None,
    units: Any = None,
    seed: int = 0,
) -> Array:
    """float64[samples]: whether every unit matters to the score as relevance says.

    It is Pearson's correlation, over the units, of relevance with what the score loses where that
    one unit is replaced: from -1 to 1, larger is better.

    Arguments are those of `faithfulness_correlation`.
    """
    trial = Trial.of(predict, x, relevance, target, units, replace, background, seed)
    made = units_removed(trial)
    pairs = zip(made, trial.relevance, strict=True)
    return np.array([correlation(relevant, one.lost) for one, relevant in pairs])


class Fidelity(NamedTuple):
    """What the score loses where some of the most relevant units are replaced, or of the rest.

    Attributes:
        plus, minus: float64[samples] each.
    """

    plus: Array
    minus: Array

    @property
    def difference(self) -> Array:
        """`plus` less `minus`: large where ranks are right."""
        return self.plus - self.minus


def fidelity(
    predict: Predict,
    x: Any,
    relevance: Any,
    target: Any = None,
    *,
    top: float = 0.2,
    removed: float = 0.1,
    runs: int = 50,
    replace: Any = "zeros",
    background: Any = None,
    units: Any = None,
    seed: int = 0,
) -> Fidelity:
    """Fidelity that leaves inputs next to what the model knows: only few units are ever replaced.

    Of the `top` part of units, by relevance, and of the rest, a random part is replaced again and
    again, in each as many units as are `removed` of all, or of the smaller of the two if these are
    fewer. F-Fidelity also trains the model on such inputs; hand a model so trained as `predict`.
    Other arguments are those of `faithfulness_correlation`.
    """
    if not (0 < top < 1 and 0 < removed <= 1 and runs > 0):
        raise RequestError("top and removed are parts of the units, over 0; runs are 1 or more")
    trial = Trial.of(predict, x, relevance, target, units, replace, background, seed)
    count, first = trial.count, round(top * trial.count)
    size = min(max(1, round(removed * count)), first, count - first)
    if not 0 < first < count:
        raise RequestError(f"the top {top:g} of {count} units are none, or all of them")
    made = np.empty((2, len(trial.x)))
    for sample, relevant in enumerate(trial.relevance):
        order, rng = np.argsort(-relevant, kind="stable"), np.random.default_rng(seed)
        for side, members in enumerate((order[:first], order[first:])):
            found = trial.scores_without(sample, drawn(rng, members, size, (runs, count)), side)
            made[side, sample] = trial.scores.whole[sample] - found.mean()
    return Fidelity(made[0], made[1])


__all__ = ["Fidelity", "faithfulness_correlation", "faithfulness_estimate", "fidelity"]
