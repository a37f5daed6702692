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
    return association_of_codes(codes(a), codes(b))


def association_of_codes(first: Array, second: Array) -> float:
    """The same of two features whose values `codes` has numbered."""
    count, rows, columns = len(first), int(first.max()) + 1, int(second.max()) + 1
    cells = np.bincount(first.astype(np.int64) * columns + second, minlength=rows * columns)
    table = cells.reshape(rows, columns).astype(np.float64)
    if min(rows, columns) < 2 or count < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / count
    phi = ((table - expected) ** 2 / expected).sum() / count
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (count - 1))
    rows_left, columns_left = (n - (n - 1) ** 2 / (count - 1) for n in (rows, columns))
    least = min(rows_left, columns_left) - 1
    return float(min(1.0, np.sqrt(phi / least))) if least > 0 else 0.0


def codes(values: Array) -> Array:
    """int32[rows]: the bin or the value of each row, numbered without gaps."""
    if values.dtype.kind in "fiub":
        edges = np.array(histogram(values).edges or ())
        found = np.searchsorted(edges, np.nan_to_num(values.astype(np.float64), nan=np.inf))
        there = sorted(np.flatnonzero(np.bincount(found)).tolist(), key=str)
        numbers = np.zeros(len(edges) + 1, np.int32)
        numbers[there] = np.arange(len(there))
        made: Array = numbers[found]
        return made
    names = values.tolist()
    known = {name: i for i, name in enumerate(sorted(set(names), key=str))}
    return np.fromiter(map(known.__getitem__, names), np.int32, len(names))


__all__ = ["association", "association_of_codes", "codes"]
