"""Linear algebra written out."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion

_LARGEST = 4


@expansion("Det")
def det(e: Ops, op: Op, x: Value) -> Value:
    """Laplace expansion along the rows, from the last one up; up to 4x4."""
    size = (op.type(0).shape or (None,))[-1]
    if not isinstance(size, int) or not 0 < size <= _LARGEST:
        raise RuleError(
            f"a determinant is written out up to {_LARGEST}x{_LARGEST}, this one's size is {size}"
        )
    rows = [e.Gather(x, np.int64(i), axis=-2) for i in range(size)]
    entries = [[e.Gather(row, np.int64(i), axis=-1) for i in range(size)] for row in rows]
    minors: dict[tuple[int, ...], Value] = {(c,): entries[-1][c] for c in range(size)}
    for row in entries[-2::-1]:
        count = len(next(iter(minors))) + 1
        minors = {
            columns: _expanded(e, row, columns, minors)
            for columns in combinations(range(size), count)
        }
    return minors[tuple(range(size))]


def _expanded(
    e: Ops, row: list[Value], columns: tuple[int, ...], minors: dict[tuple[int, ...], Value]
) -> Value:
    """Determinant of the lower rows from `row` on, in some columns."""
    total: Value = None
    for k, column in enumerate(columns):
        term = e.Mul(row[column], minors[(*columns[:k], *columns[k + 1 :])])
        total = term if total is None else (e.Sub if k % 2 else e.Add)(total, term)
    return total
