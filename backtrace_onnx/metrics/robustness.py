"""Robustness: how far an explanation moves where its input hardly does.

Source: max-sensitivity (Yeh et al. 2019, arXiv 1901.09392).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.samples import numbers_of

Array = npt.NDArray[Any]


class Sensitivity(NamedTuple):
    """How far relevance moved, in parts of its own norm.

    Attributes:
        most, mean: float64[samples], over the draws.
    """

    most: Array
    mean: Array


def sensitivity(
    explain: Callable[[Array], Any],
    x: Any,
    *,
    radius: Any = 0.02,
    samples: int = 10,
    seed: int = 0,
) -> Sensitivity:
    """How far relevance moves where noise is added to the input, in parts of its own norm.

    Args:
        explain: x[samples, ...] -> relevance [samples, ...].
        radius: noise is drawn evenly from -radius to radius for every entry, in units of x;
            an array that broadcasts to a sample where entries differ.
        samples: how many draws.

    Raises RequestError for a radius or a number of draws that is none, and for inputs or relevance
    that are no numbers, are empty, or of other samples.
    """
    numbers_of(x, "x")
    x = np.asarray(x)
    spread = _radius(radius, x.shape[1:])
    if not (spread >= 0).all() or not (spread > 0).any() or samples < 1:
        raise RequestError("radius is a positive number, samples are 1 or more")
    own = _explained(explain, x)
    sizes = np.linalg.norm(own, axis=1)
    moved = np.empty((samples, len(x)))
    rng = np.random.default_rng(seed)
    for draw in range(samples):
        noise = rng.uniform(-spread, spread)  # one for all: no matter of the batch
        made = _explained(explain, (x + noise).astype(x.dtype))
        moved[draw] = np.linalg.norm(made - own, axis=1)
    parts = np.divide(moved, sizes, out=np.full_like(moved, np.nan), where=sizes > 0)
    return Sensitivity(parts.max(0), parts.mean(0))


def _explained(explain: Callable[[Array], Any], x: Array) -> Array:
    made = numbers_of(explain(x), "relevance")
    if len(made) != len(x):
        raise RequestError(f"explain returned relevance of {len(made)} samples for {len(x)}")
    return made


def _radius(radius: Any, shape: tuple[int, ...]) -> Array:
    try:
        return np.broadcast_to(np.asarray(radius, np.float64), shape)
    except (TypeError, ValueError) as error:
        raise RequestError(f"radius does not fit a sample, {shape}: {error}") from None


__all__ = ["Sensitivity", "sensitivity"]
