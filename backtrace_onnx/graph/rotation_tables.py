"""Tables of cosines and sines: looked up by position they are angles, not data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FEWEST, _MOST = 5, 64
_TOLERANCE = 5e-3  # of the largest entry; tables may be stored in half precision


def is_rotation_table(table: npt.NDArray[Any], axis: int = 0) -> bool:
    """Whether every column along `axis` is a wave sampled at 0, 1, 2, ...

    Cosines and sines of equal steps obey t[n + 1] + t[n - 1] = k t[n] with |k| <= 2.
    """
    if table.dtype.kind not in "fV" or table.ndim < 2 or table.shape[axis] < _FEWEST:
        return False
    rows = np.moveaxis(table, axis, 0)[:_MOST].astype(np.float64)
    rows = rows.reshape(len(rows), -1)
    largest = np.abs(rows).max(initial=0)
    if not np.isfinite(largest) or not largest:
        return False
    around, own = rows[2:] + rows[:-2], rows[1:-1]
    power = (own * own).sum(0)
    factor = np.divide((own * around).sum(0), power, out=np.zeros_like(power), where=power > 0)
    apart = np.abs(around - factor * own).max()
    return bool(apart <= _TOLERANCE * largest and np.abs(factor).max() <= 2 + _TOLERANCE)
