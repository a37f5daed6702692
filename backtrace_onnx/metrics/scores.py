"""The scores that metrics watch while inputs change, and how numbers of samples correlate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.replacing import Replacement
from backtrace_onnx.metrics.samples import numbers_of, samples_of
from backtrace_onnx.metrics.units import relevance_of_units, units_of

Array = npt.NDArray[Any]
Predict: TypeAlias = Callable[[Array], Any]
"""A model: x[samples, ...] -> y[samples, classes] or y[samples]; a `BlackBox`, say."""
_ROUNDING = 1e-12


class TargetScores:
    """The score of each sample's target, for whatever takes the sample's place.

    Args:
        predict: the model. x: inputs [samples, ...].
        target: class of each sample, int[samples], or one for all; None: the predicted one.

    Raises RequestError where there is no such class, or a score is not finite.
    """

    def __init__(self, predict: Predict, x: Array, target: Any = None) -> None:
        self._predict = predict
        y = self._outputs(x)
        found = y.argmax(1) if target is None else classes_of(target, len(x))
        if found.dtype.kind not in "iu" or (found < 0).any() or (found >= y.shape[1]).any():
            raise RequestError(f"targets are classes from 0 to {y.shape[1] - 1}, not {target!r}")
        self.target = found.astype(np.int64)
        self.whole = self._finite(y[np.arange(len(x)), self.target])

    def of(self, sample: int, copies: Array) -> Array:
        """[copies]: the score of the target of one sample for each of its changed copies."""
        return self._finite(self._outputs(copies)[:, self.target[sample]])

    @staticmethod
    def _finite(scores: Array) -> Array:
        if not np.isfinite(scores).all():
            raise RequestError("predict returned NaN or Inf as the score of a target")
        return scores

    def _outputs(self, x: Array) -> Array:
        y = numbers_of(self._predict(x), "what predict returned")
        if len(y) != len(x):
            raise RequestError(f"predict returned scores of {len(y)} samples for {len(x)}")
        return y


def classes_of(target: Any, samples: int) -> Array:
    """[samples]: the class of each, or one for all. Raises RequestError where it is neither."""
    try:
        return np.broadcast_to(np.asarray(target), samples)
    except (TypeError, ValueError):
        raise RequestError(
            f"target is a class for all, or one for each of {samples} samples, not {target!r}"
        ) from None


@dataclass(frozen=True)
class Trial:
    """An explanation that is tried: units of the inputs are replaced, and the score is watched.

    Attributes:
        x: inputs [samples, ...].
        flat: int64[entries], the unit of every entry of a sample. count: how many units there are.
        relevance: [samples, units], that of every unit.
        scores: of the target of every sample.
        fill: what takes the place of entries.
    """

    x: Array
    flat: Array
    count: int
    relevance: Array
    scores: TargetScores
    fill: Replacement

    @classmethod
    def of(
        cls, predict: Predict, x: Any, relevance: Any, target: Any, units: Any, *filled: Any
    ) -> Trial:
        """As metrics take their arguments; `filled` is replace, background and seed.

        Raises RequestError for arguments that do not fit.
        """
        x = samples_of(x, "x")
        flat, count = units_of(x, None if units is None else np.asarray(units))
        r = relevance_of_units(relevance, x, flat, count)
        return cls(x, flat, count, r, TargetScores(predict, x, target), Replacement(x, *filled))

    def scores_without(self, sample: int, masks: Array, draw: int) -> Array:
        """float64[masks]: the score of a sample without the units of each mask bool[masks, units].

        Args:
            draw: a number for each draw of what takes their place, where that is random.
        """
        copies = replaced(self.x, sample, masks, self.flat, self.fill, draw)
        return self.scores.of(sample, copies)

    def lost(self, sample: int, masks: Array, draw: int) -> Array:
        """float64[masks]: how much of the score each of these takes away."""
        made: Array = self.scores.whole[sample] - self.scores_without(sample, masks, draw)
        return made


def replaced(
    x: Array, sample: int, masks: Array, flat: Array, fill: Replacement, draw: int
) -> Array:
    """[masks, ...]: copies of a sample in which the units of each mask bool[masks, units] are
    replaced."""
    where = masks[:, flat].reshape(-1, *x.shape[1:])
    return np.where(where, fill(sample, len(masks), draw), x[sample]).astype(x.dtype)


def correlation(a: Array, b: Array) -> float:
    """Pearson's; 0 where one of the two does not vary, but for rounding."""
    if any(np.ptp(x) <= _ROUNDING * np.abs(x).max() for x in (a, b)):
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b / size) if size > 0 else 0.0


__all__ = ["Predict", "TargetScores", "Trial", "classes_of", "correlation", "replaced"]
