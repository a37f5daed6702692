"""Units: the parts of an input that are replaced and ranked as one, such as squares of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.samples import relevance_of

Array = npt.NDArray[Any]


def grid(shape: tuple[int, ...], side: int, *, channel_axis: int | None = 0) -> Array:
    """Units of a picture: squares of `side` pixels, all channels together; int64 of `shape`.

    Args:
        shape: of one sample: [C, H, W], [H, W, C] or [H, W].
        channel_axis: 0, -1, or None where there is none.
    """
    if not _is_shape(shape) or not _is_count(side):
        raise RequestError(f"squares have a shape and a side in whole numbers, not {side!r}")
    bare = list(shape)
    if channel_axis is not None and -len(bare) <= channel_axis < len(bare):
        del bare[channel_axis]
    if len(bare) != 2 or side < 1:
        raise RequestError(
            f"squares of {side} pixels need a picture, not a sample of {shape} with channels along "
            f"channel_axis={channel_axis} (None: it has none)"
        )
    rows, columns = (np.arange(n) // side for n in bare)
    made = rows[:, None] * (columns[-1] + 1) + columns
    if channel_axis is not None:
        made = np.expand_dims(made, channel_axis)
    return np.broadcast_to(made, shape).astype(np.int64)


def units_of(x: Array, units: Array | None) -> tuple[Array, int]:
    """Flat int64[entries], the unit of every entry of a sample of x, and how many units there are.

    Raises RequestError where `units` is not shaped like a sample.
    """
    if units is None:
        count = int(np.prod(x.shape[1:]))
        return np.arange(count), count
    given = np.asarray(units)
    if given.shape != x.shape[1:]:
        raise RequestError(f"units are shaped like a sample, {x.shape[1:]}, not {given.shape}")
    _, flat = np.unique(given.reshape(-1), return_inverse=True)
    return flat, int(flat.max()) + 1


def relevance_of_units(relevance: Array, x: Array, flat: Array, count: int) -> Array:
    """[samples, units]: the sum of relevance over every unit.

    Raises RequestError where relevance is not shaped like the inputs, or is not finite.
    """
    rows = relevance_of(relevance, x)
    return np.stack([np.bincount(flat, row, count) for row in rows])


def _is_shape(given: Any) -> bool:
    return isinstance(given, tuple | list) and all(map(_is_count, given))


def _is_count(given: Any) -> bool:
    return isinstance(given, int | np.integer) and not isinstance(given, bool)


__all__ = ["grid", "relevance_of_units", "units_of"]
