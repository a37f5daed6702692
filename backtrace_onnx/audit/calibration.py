"""How far reasons move by chance: what several baselines, trained alike, say of the next one."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ENOUGH = 3
"""Baselines from which on their spread says something."""
ALARMS = 0.01
"""Part of the models that are trained as the baselines were, of which a check may say otherwise."""


def reach(spread: Array, baselines: int, tests: int) -> Array:
    """How far one more value may lie from the mean of `baselines` values by chance.

    The bound of a prediction interval, t s sqrt(1 + 1 / k), s the standard deviation of k values,
    so that of all `tests` together at most ALARMS lie beyond one (Bonferroni). Source: Hahn and
    Meeker 1991, Statistical Intervals, doi 10.1002/9780470316771.

    Args:
        spread: standard deviations, with k - 1 in the denominator.
    """
    made: Array = _quantile(baselines, tests) * np.sqrt(1 + 1 / baselines) * spread
    return made


@cache
def _quantile(baselines: int, tests: int) -> float:
    from scipy.stats import t

    return float(t.isf(ALARMS / tests / 2, baselines - 1))


def sampling(spread: Array, rows: int, before: int, tests: int) -> Array:
    """How far means of `rows` and of `before` other rows of one population lie apart by chance.

    Args:
        spread: standard deviations of the rows.
    """
    from scipy.stats import norm

    wide = float(norm.isf(ALARMS / tests / 2))
    made: Array = wide * spread * np.sqrt(1 / rows + 1 / before)
    return made


__all__ = ["ALARMS", "ENOUGH", "reach", "sampling"]
