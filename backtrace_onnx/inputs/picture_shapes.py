"""Which arrays are pictures by their shape, with a batch and channels or without."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SMALLEST = 8  # pixels along a side
_COLOURS = (3, 4)
_PLAIN = 16  # rows and columns of a matrix that is a picture though it is not square


def canvas(sample: Array) -> Array | None:
    """A sample shaped like a picture as [H, W, C]; None for any other shape.

    Axes of size 1 around the picture are a batch or a gray channel: [1, H, W], [H, W, 1],
    [1, 1, H, W], [1, H, W, 3]. A bare [H, W] counts as one too: see `is_matrix`.
    """
    shape = [n for n in sample.shape if n > 1]
    if prod(shape) != sample.size or len(shape) not in (2, 3):
        return None
    whole = sample.reshape(shape)
    if len(shape) == 2:
        return whole[..., None] if min(shape) >= SMALLEST else None
    if shape[0] in _COLOURS and min(shape[1:]) >= SMALLEST:
        return whole.transpose(1, 2, 0)
    return whole if shape[2] in _COLOURS and min(shape[:2]) >= SMALLEST else None


def picture_axes(sample: Array) -> tuple[int, int] | None:
    """The axes of rows and columns of a sample shaped like a picture; None for any other shape."""
    if canvas(sample) is None:
        return None
    wide = [axis for axis, n in enumerate(sample.shape) if n > 1]
    first = len(wide) == 3 and sample.shape[wide[0]] in _COLOURS
    first = first and min(sample.shape[axis] for axis in wide[1:]) >= SMALLEST
    rows, columns = wide[1:] if first else wide[:2]
    return rows, columns


def place_axes(shape: Sequence[int], count: int) -> tuple[int, ...] | None:
    """The axes of a sample that hold places, of which there are `count`; None where none do."""
    seen = picture_axes(np.broadcast_to(0, shape)) if count == 2 else None
    if seen is not None:
        return seen
    rank = len(shape)
    return tuple(range(rank - count, rank)) if rank in (count, count + 1) else None


def is_matrix(sample: Array) -> bool:
    """Whether a sample has two axes only, so that it may be tokens by features as well."""
    return sample.ndim == 2


def looks_like_picture(sample: Array, operators: Collection[str]) -> bool:
    """Whether a sample is taken for a picture where no sidecar says so.

    A bare matrix is one where it is square, or where what reads it convolves and neither side is
    more than twice the other.

    Args:
        operators: of the nodes that relevance passed.
    """
    if canvas(sample) is None:
        return False
    if not is_matrix(sample) or sample.shape[0] == sample.shape[1]:
        return True
    low, high = sorted(sample.shape)
    return low >= _PLAIN and high <= 2 * low and any("Conv" in name for name in operators)


def stretched(values: Array) -> npt.NDArray[np.uint8]:
    """A picture [H, W, C] of any numbers as uint8[H, W, 3]: its smallest is black."""
    values = np.asarray(values[..., :3], np.float64)
    span = float(np.ptp(values)) or 1.0
    whole = np.rint((values - values.min()) / span * 255).astype(np.uint8)
    return np.broadcast_to(whole, (*whole.shape[:2], 3))
