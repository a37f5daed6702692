"""Lines cut into parts, and the place in each of them where a slope is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.ops.walks import ExpectedGradients

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LineParts:
    """Parts of lines that run from 0 to 1, float64[parts].

    Attributes:
        places: where slopes are taken.
        lows, highs: the ends of the parts they stand for.
    """

    places: Array
    lows: Array
    highs: Array

    def __iter__(self) -> Iterator[tuple[float, float, float]]:
        """The place and the ends of every part."""
        return zip(self.places.tolist(), self.lows.tolist(), self.highs.tolist(), strict=True)


def even_parts(steps: int) -> LineParts:
    """The Gauss-Legendre points of a line, each in a part as wide as its weight.

    Points and these parts alternate (Chebyshev, Markov and Stieltjes): every point lies in its own.
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    ends = np.concatenate([[0.0], np.cumsum(weights / 2)])
    ends[-1] = 1.0
    return LineParts((places + 1) / 2, ends[:-1], ends[1:])


def drawn_parts(how: ExpectedGradients, rows: int) -> tuple[list[int], LineParts]:
    """Rows, each as often as the others, and for each a place in another of as many even parts."""
    rng, count = np.random.default_rng(how.seed), how.samples
    order = [rng.permutation(rows) for _ in range(-(-count // rows))]
    part = rng.permutation(count)
    places = (part + rng.random(count)) / count
    drawn = [int(row) for row in np.concatenate(order)[:count]]
    return drawn, LineParts(places, part / count, (part + 1) / count)


__all__ = ["LineParts", "drawn_parts", "even_parts"]
