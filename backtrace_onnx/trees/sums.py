"""Weights of the sums that make Shapley values of a leaf's game."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Summation(NamedTuple):
    """What a game of so many players is summed with.

    Attributes:
        places, weights: float64[points + 1, points]: those of Gauss and Legendre on 0 to 1, for
            each number of points.
        shares: float64[players + 1, players + 1]: what each of s players gets who must all be there
            while t others must not: (s - 1)! t! / (s + t)!.
    """

    places: Floats
    weights: Floats
    shares: Floats


@lru_cache(16)
def find_summation(players: int) -> Summation:
    """The sums of games of up to so many players; their integrals are of degree players - 1."""
    most = (players + 1) // 2
    places, weights = np.full((most + 1, max(most, 1)), 0.5), np.zeros((most + 1, max(most, 1)))
    for points in range(1, most + 1):
        at, weight = np.polynomial.legendre.leggauss(points)
        places[points, :points], weights[points, :points] = (at + 1) / 2, weight / 2
    shares = np.zeros((players + 1, players + 1))
    for s in range(1, players + 1):
        shares[s, 0] = 1 / s
        for t in range(1, players + 1):
            shares[s, t] = shares[s, t - 1] * t / (s + t)
    return Summation(places, weights, shares)


__all__ = ["Summation", "find_summation"]
