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
from backtrace_onnx.metrics.replacing import Replacement
from backtrace_onnx.metrics.scores import Predict, TargetScores, correlation, replaced
from backtrace_onnx.metrics.units import relevance_of_units, units_of

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
    """float64[samples]: how relevance of random sets of units goes with what they give the score.

    It is Pearson's correlation of the two, from -1 to 1.

    Args:
        predict: x[samples, ...] -> y[samples, classes].
        x: inputs [samples, ...]. relevance: shaped like x.
        target: class of each sample; default: the predicted one.
        size: units in a set; default a fifth of them. runs: how many sets.
        replace, background: what takes their place (`Replacement`).
        units: int[...] shaped like a sample: entries of one number are one unit; default: each.
        seed: of the draws; a sample's do not depend on its batch.

    Raises RequestError for arguments that do not fit.
    """
    x = np.asarray(x)
    flat, count = units_of(x, None if units is None else np.asarray(units))
    r = relevance_of_units(relevance, x, flat, count)
    size = max(1, count // 5) if size is None else size
    if not 1 <= size <= count or runs < 2:
        raise RequestError(f"sets hold 1 to {count} units, and there are 2 runs or more")
    scores, fill = TargetScores(predict, x, target), Replacement(x, replace, background, seed)
    made = []
    for sample in range(len(x)):
        rng = np.random.default_rng(seed)
        masks = np.zeros((runs, count), bool)
        for mask in masks:
            mask[rng.choice(count, size, replace=False)] = True
        lost = scores.whole[sample] - scores.of(sample, replaced(x, sample, masks, flat, fill, 0))
        made.append(correlation(masks @ r[sample], lost))
    return np.array(made)


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
    """float64[samples]: how the relevance of every unit goes with what the score loses without it.

    It is Pearson's correlation of the two, from -1 to 1; one unit at a time is replaced.

    Arguments are those of `faithfulness_correlation`.
    """
    x = np.asarray(x)
    flat, count = units_of(x, None if units is None else np.asarray(units))
    r = relevance_of_units(relevance, x, flat, count)
    scores, fill = TargetScores(predict, x, target), Replacement(x, replace, background, seed)
    made = []
    for sample in range(len(x)):
        lost = np.empty(count)
        for at in range(0, count, _AT_ONCE):
            masks = np.eye(count, dtype=bool)[at : at + _AT_ONCE]
            found = scores.of(sample, replaced(x, sample, masks, flat, fill, at))
            lost[at : at + _AT_ONCE] = scores.whole[sample] - found
        made.append(correlation(r[sample], lost))
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
    x = np.asarray(x)
    flat, count = units_of(x, None if units is None else np.asarray(units))
    r = relevance_of_units(relevance, x, flat, count)
    first = round(top * count)
    size = min(max(1, round(removed * count)), first, count - first)
    if not 0 < first < count:
        raise RequestError(f"the top {top:g} of {count} units are none, or all of them")
    scores, fill = TargetScores(predict, x, target), Replacement(x, replace, background, seed)
    made = np.empty((2, len(x)))
    for sample in range(len(x)):
        order, rng = np.argsort(-r[sample], kind="stable"), np.random.default_rng(seed)
        for side, members in enumerate((order[:first], order[first:])):
            masks = np.zeros((runs, count), bool)
            for mask in masks:
                mask[rng.choice(members, size, replace=False)] = True
            found = scores.of(sample, replaced(x, sample, masks, flat, fill, side))
            made[side, sample] = scores.whole[sample] - found.mean()
    return Fidelity(made[0], made[1])


_AT_ONCE = 256

__all__ = ["Fidelity", "faithfulness_correlation", "faithfulness_estimate", "fidelity"]
