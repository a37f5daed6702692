"""What a score loses without parts of its input: what every faithful explanation must agree with.

It depends on no explanation, so that several of one input can be held to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.samples import samples_of
from backtrace_onnx.metrics.scores import Predict, Trial, correlation

Array = npt.NDArray[Any]
_AT_ONCE = 256


class Removed(NamedTuple):
    """What one sample's score loses without sets of its units.

    Attributes:
        masks: bool[sets, units], what is in each set. lost: float64[sets].
    """

    masks: Array
    lost: Array

    def correlation(self, relevance: Array) -> float:
        """Pearson's, of what is lost with the relevance [units] of each set.

        It is 0 where one of the two does not vary.
        """
        return correlation(self.masks @ relevance, self.lost)


def remove_sets(
    predict: Predict,
    x: Any,
    target: Any = None,
    *,
    size: int | None = None,
    runs: int = 100,
    replace: Any = "zeros",
    background: Any = None,
    units: Any = None,
    seed: int = 0,
) -> list[Removed]:
    """What every sample's score loses without random sets of its units.

    Arguments are those of `faithfulness_correlation`.
    """
    none = np.zeros(samples_of(x, "x").shape)
    trial = Trial.of(predict, x, none, target, units, replace, background, seed)
    return sets_removed(trial, size, runs, seed)


def remove_units(
    predict: Predict,
    x: Any,
    target: Any = None,
    *,
    replace: Any = "zeros",
    background: Any = None,
    units: Any = None,
    seed: int = 0,
) -> list[Removed]:
    """What every sample's score loses without each of its units.

    Arguments are those of `faithfulness_correlation`.
    """
    none = np.zeros(samples_of(x, "x").shape)
    return units_removed(Trial.of(predict, x, none, target, units, replace, background, seed))


def sets_removed(trial: Trial, size: int | None, runs: int, seed: int) -> list[Removed]:
    """What the samples of a trial lose without `runs` random sets of `size` units.

    Raises RequestError where sets are empty, or too few.
    """
    size = max(1, trial.count // 5) if size is None else size
    if not 1 <= size <= trial.count or runs < 2:
        raise RequestError(f"sets hold 1 to {trial.count} units, and there are 2 runs or more")
    masks = drawn(np.random.default_rng(seed), trial.count, size, (runs, trial.count))
    return [Removed(masks, trial.lost(sample, masks, 0)) for sample in range(len(trial.x))]


def units_removed(trial: Trial) -> list[Removed]:
    """What the samples of a trial lose without each unit."""
    each = np.eye(trial.count, dtype=bool)
    starts = range(0, trial.count, _AT_ONCE)
    return [
        Removed(
            each, np.concatenate([trial.lost(s, each[at : at + _AT_ONCE], at) for at in starts])
        )
        for s in range(len(trial.x))
    ]


def drawn(
    rng: np.random.Generator, members: Any, size: int, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Masks bool[runs, units], each of `size` random ones of the members."""
    masks = np.zeros(shape, bool)
    for mask in masks:
        mask[rng.choice(members, size, replace=False)] = True
    return masks


__all__ = ["Removed", "drawn", "remove_sets", "remove_units", "sets_removed", "units_removed"]
