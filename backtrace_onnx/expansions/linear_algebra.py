"""Determinants, distances, complex numbers as pairs along the last axis, and Fourier transforms."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints, microsoft

_Minors = dict[tuple[int, ...], Value]  # determinants of the lower rows, by their columns
_LARGEST = 4  # determinant that is written out
_DFT = 20  # the version that takes its axis as an input


@expansion("Det")
def det(e: Ops, op: Op, x: Value) -> Value:
    """Laplace expansion along the rows, from the last one up; up to 4x4."""
    size = (op.type(0).shape or (None,))[-1]
    if not isinstance(size, int) or not 0 < size <= _LARGEST:
        raise RuleError(
            f"a determinant is written out up to {_LARGEST}x{_LARGEST}, this one's size is {size}"
        )
    rows = [e.Gather(x, np.int64(i), axis=-2) for i in range(size)]
    *upper, last = [[e.Gather(row, np.int64(i), axis=-1) for i in range(size)] for row in rows]
    minors: _Minors = {(column,): entry for column, entry in enumerate(last)}
    for count, row in enumerate(reversed(upper), 2):
        minors = {
            chosen: _along(row, chosen, minors) for chosen in combinations(range(size), count)
        }
    return minors[tuple(range(size))]


def _along(row: list[Value], columns: tuple[int, ...], minors: _Minors) -> Value:
    """Determinant of `row` and the rows below it, in some columns."""
    first, *others = (
        row[column] * minors[(*columns[:k], *columns[k + 1 :])] for k, column in enumerate(columns)
    )
    for k, term in enumerate(others):
        first = first + term if k % 2 else first - term
    return first


@microsoft("CDist")
def pairwise_distance(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """Distance of every row of one to every row of the other."""
    metric = op.attribute("metric", "sqeuclidean")
    if metric not in ("sqeuclidean", "euclidean"):
        raise RuleError(f"its metric {metric!r} is not known")
    apart = e.Unsqueeze(a, ints(1)) - e.Unsqueeze(b, ints(0))
    squared = e.ReduceSum(apart * apart, ints(2), keepdims=0)
    return e.Sqrt(squared) if metric == "euclidean" else squared


@microsoft("ComplexMul", "ComplexMulConj")
def complex_mul(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """a * b of complex numbers; ComplexMulConj takes the conjugate of b."""
    if op.node.op_type == "ComplexMulConj":
        b = _conjugated(e, b)
    (x, y), (u, v) = e.halves(a), e.halves(b)
    return e.Concat(x * u - y * v, x * v + y * u, axis=-1)


def _conjugated(e: Ops, z: Value) -> Value:
    """z with its imaginary parts negated."""
    return z * np.array([1, -1], e.dtype)


@microsoft("Rfft", opset=_DFT)
def rfft(e: Ops, op: Op, x: Value) -> Value:
    """DFT of a real signal: its first n // 2 + 1 frequencies."""
    y = e.DFT(e.Unsqueeze(x, ints(-1)), None, np.int64(-2), onesided=1)
    for axis in _axes(op)[1:]:
        y = e.DFT(y, None, np.int64(axis))
    return y


@microsoft("Irfft", opset=_DFT)
def irfft(e: Ops, op: Op, z: Value) -> Value:
    """Inverse DFT of the spectrum [..., n / 2 + 1, 2] of a real signal of even length n."""
    for axis in _axes(op)[1:]:
        z = e.DFT(z, None, np.int64(axis), inverse=1)
    # The second half of a real signal's spectrum is the first one, conjugated, backwards.
    mirrored = _conjugated(e, e.Slice(z, ints(-2), ints(0), ints(-2), ints(-1)))
    y = e.DFT(e.Concat(z, mirrored, axis=-2), None, np.int64(-2), inverse=1)
    return e.Gather(y, np.int64(0), axis=-1)


def _axes(op: Op) -> list[int]:
    """Axes of the signal among those of its spectrum, the halved one first."""
    if not op.attribute("onesided", 1) or op.attribute("normalized", 0):
        raise RuleError("only one half of a spectrum that is not normalised is defined")
    return [-2 - k for k in range(op.attribute("signal_ndim", 1))]
