"""How closely two features go together, whatever they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.histograms import histogram

Array = npt.NDArray[Any]


def association(a: Array, b: Array) -> float:
    """Cramér's V of two features [rows] each, from 0 to 1; numbers are binned.

    Corrected for the association that chance makes (Bergsma 2013, doi 10.1016/j.jkss.2012.10.002).
    It is 0 where one of the two is the same in all rows.
    """
    first, second = _places(a), _places(b)
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    count, (rows, columns) = len(a), table.shape
    if min(rows, columns) < 2 or count < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / count
    phi = ((table - expected) ** 2 / expected).sum() / count
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (count - 1))
    rows_left, columns_left = (n - (n - 1) ** 2 / (count - 1) for n in (rows, columns))
    least = min(rows_left, columns_left) - 1
    return float(min(1.0, np.sqrt(phi / least))) if least > 0 else 0.0


def _places(values: Array) -> Array:
    """int64[rows]: the bin or the value of each row, numbered without gaps."""
    if values.dtype.kind in "fiub":
        edges = np.array(histogram(values).edges or ())
        values = np.searchsorted(edges, np.nan_to_num(values.astype(np.float64), nan=np.inf))
    found: Array = np.unique(values.astype(str), return_inverse=True)[1].reshape(-1)
    return found


__all__ = ["association"]
