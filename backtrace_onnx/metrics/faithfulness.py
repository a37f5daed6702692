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
    size = max(1, trial.count // 5) if size is None else size
    if not 1 <= size <= trial.count or runs < 2:
        raise RequestError(f"sets hold 1 to {trial.count} units, and there are 2 runs or more")
    made = []
    for sample, relevant in enumerate(trial.relevance):
        masks = _drawn(np.random.default_rng(seed), trial.count, size, (runs, trial.count))
        made.append(correlation(masks @ relevant, trial.lost(sample, masks, 0)))
    return np.array(made)


def _drawn(
    rng: np.random.Generator, members: Any, size: int, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Masks bool[runs, units], each of `size` random ones of the members."""
    masks = np.zeros(shape, bool)
    for mask in masks:
        mask[rng.choice(members, size, replace=False)] = True
    return masks


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
    made = []
    for sample, relevant in enumerate(trial.relevance):
        lost = np.empty(trial.count)
        for at in range(0, trial.count, _AT_ONCE):
            masks = np.eye(trial.count, dtype=bool)[at : at + _AT_ONCE]
            lost[at : at + _AT_ONCE] = trial.lost(sample, masks, at)
        made.append(correlation(relevant, lost))
    return np.array(made)


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
    trial = Trial.of(predict, x, relevance, target, units, replace, background, seed)
    count, first = trial.count, round(top * trial.count)
    size = min(max(1, round(removed * count)), first, count - first)
    if not 0 < first < count:
        raise RequestError(f"the top {top:g} of {count} units are none, or all of them")
    made = np.empty((2, len(trial.x)))
    for sample, relevant in enumerate(trial.relevance):
        order, rng = np.argsort(-relevant, kind="stable"), np.random.default_rng(seed)
        for side, members in enumerate((order[:first], order[first:])):
            found = trial.scores_without(sample, _drawn(rng, members, size, (runs, count)), side)
            made[side, sample] = trial.scores.whole[sample] - found.mean()
    return Fidelity(made[0], made[1])


_AT_ONCE = 256

__all__ = ["Fidelity", "faithfulness_correlation", "faithfulness_estimate", "fidelity"]
