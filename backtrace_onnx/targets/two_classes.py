"""One entry that stands for two classes: it speaks for class 1, and class 0 has what remains."""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

TwoClasses = Literal["", "probability", "decision"]
"""What the entry is: "" for no such thing, the probability of class 1, or its score, whose negative
is that of class 0."""

T = TypeVar("T", float, npt.NDArray[np.float64])


def boundary(two: TwoClasses) -> float:
    """The value from which on class 1 is the answer."""
    return 0.5 if two == "probability" else 0.0


def of_class(two: TwoClasses, y: T, place: int) -> T:
    """The value of class 0 or 1."""
    if place:
        return y
    return 1 - y if two == "probability" else -y


def mirrored(weights: npt.NDArray[np.floating] | None) -> bool:
    """Whether the last axis has two columns, each the negative of the other."""
    two = weights is not None and weights.ndim > 0 and weights.shape[-1] == 2
    return two and bool(np.array_equal(weights[..., 0], -weights[..., 1]))  # type: ignore[index]
