"""Pictures smoothed until nothing is told apart in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_SPREAD = 8  # of a side of a picture: the standard deviation of the blur


def blurred(x: Array, axes: Sequence[int]) -> Array:
    """x, smoothed along axes by a Gaussian of an eighth of their length, in its own dtype."""
    made = x.astype(np.float64)
    for axis in axes:
        made = np.moveaxis(np.moveaxis(made, axis, -1) @ _kernel(x.shape[axis]).T, -1, axis)
    return made.astype(x.dtype)


def _kernel(side: int) -> Array:
    """A Gaussian [side, side] whose rows add up to 1: at the borders it weighs what there is."""
    places = np.arange(side)
    weights = np.exp(-0.5 * ((places[:, None] - places) * _SPREAD / side) ** 2)
    made: Array = weights / weights.sum(1, keepdims=True)
    return made
