"""The positions of texts that a start lies at: it is 0 at all others, which need no memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AskedPositions:
    """Some positions of an output [samples, positions, tokens].

    Attributes:
        at: int64, ascending.
        target: (position, token) as of `checking.find_target`, a position being a place in `at`.
        count: of all positions.
    """

    at: Array
    target: Array
    count: int

    def of(self, x: Array) -> Array:
        """What an array shaped like the output holds there."""
        return x[:, self.at]

    def back(self, part: Array) -> Array:
        """The whole of it: zeros everywhere else, which the system only lends when written to."""
        whole = np.zeros((len(part), self.count, *part.shape[2:]), part.dtype)
        whole[:, self.at] = part
        return whole


def find_asked(target: Array, count: int) -> AskedPositions:
    """The positions, of `count`, that a target of generation names."""
    at, places = np.unique(target[..., 0], return_inverse=True)
    return AskedPositions(
        at, np.stack([places.reshape(target.shape[:-1]), target[..., 1]], -1), count
    )


__all__ = ["AskedPositions", "find_asked"]
