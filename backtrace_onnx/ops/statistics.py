"""Statistics of the units of one sample, in ONNX's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import numpy as np

from backtrace_onnx.graph.graph import SampleAxis
from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.vocabulary import Ops, Value, ints

_PICTURE = 4  # axes: samples, channels, height and width


def damped(
    e: Ops,
    t: Value,
    m: Value,
    epsilon: float,
    axis: SampleAxis | int | None,
    count: Value,
    known: Sequence[int | str | None],
    cut: Value | None = None,
    left: Value | None = None,
) -> Value:
    """m |t| / (|t| + epsilon rms t), with the root mean square of each sample's t (LRP-epsilon).

    Args:
        axis, count: as of `sample_mean`.
        known: the shape of t as far as it is known.
        cut: max(0, t), where slopes m are to end at units that are not positive.
        left: t times what is never negative, which slopes m are to be multiplied by, too.
    """

    if known[:1] == (1,) and axis == 0 and not getattr(axis, "inner", 0):  # a row for all samples
        count = ints(1)
    if cut is None and _is_one(axis, count):
        least = _least(e, e.ReduceL2(t, keepdims=1), _part_of_norm(e, epsilon, t, known))
    else:
        of = partial(_least_of, e, epsilon)
        least = sample_mean(e, e.Mul(t, t), axis, count, of, rank=len(known))
    if left is not None:
        return e.Mul(m, e.Div(e.Abs(left), e.Add(e.Abs(t), least)))
    part = _softsign(e, e.Mul(t if cut is None else cut, e.Reciprocal(least)))
    return e.Mul(m, e.in_blocks(e.Abs(part) if cut is None else part, known))


def _least_of(e: Ops, epsilon: float, mean: Value) -> Value:
    return _least(e, e.Sqrt(mean), e.scalar(epsilon))


def _least(e: Ops, size: Value, part: Value) -> Value:
    """A part of a size, which may be divided by."""
    return e.Max(e.Mul(size, part), e.scalar(SMALLEST_MASS))


def _part_of_norm(e: Ops, epsilon: float, t: Value, known: Sequence[int | str | None]) -> Value:
    """What epsilon times the root mean square of t is of its norm."""
    sizes = [n for n in known if isinstance(n, int)]
    if known and len(sizes) == len(known):
        return e.scalar(epsilon / max(prod(sizes), 1) ** 0.5)
    return e.Div(e.scalar(epsilon), e.Sqrt(e.Cast(e.Size(t), to=e.float_type)))


def _softsign(e: Ops, x: Value) -> Value:
    """x / (1 + |x|), which onnxruntime computes in one sweep of float32."""
    if np.dtype(e.dtype) == np.float32:
        return e.Softsign(x)
    return e.Div(x, e.Add(e.Abs(x), e.scalar(1)))


def sample_mean(
    e: Ops,
    x: Value,
    axis: SampleAxis | int | None,
    count: Value,
    then: Callable[[Value], Value] = lambda mean: mean,
    rank: int = 0,
) -> Value:
    """What `then` makes of the mean of every sample's entries of x, broadcast against x.

    Args:
        axis: along which samples lie, merged with others perhaps; None: x is of no one sample.
        count: how many samples there are, int64[1].
        then: a function of one number of each sample.
        rank: of x, if known.
    """
    if axis is None or getattr(axis, "mixed", False):
        return then(e.ReduceMean(x, keepdims=1))
    if isinstance(count, np.ndarray) and count[0] == 1:
        if rank == _PICTURE and np.dtype(e.dtype) == np.float32:
            return then(e.ReduceMean(e.GlobalAveragePool(x), keepdims=1))
        return then(_mean_of_rows(e, _sample_rows(e, x, count, rank)))
    shape, inner = e.Shape(x), getattr(axis, "inner", 0)
    alone = getattr(axis, "alone", False)
    if not axis and not inner:
        rows = _sample_rows(e, x, count, rank if alone else 0)
        mean = then(_mean_of_rows(e, rows))
        if not alone:  # others may lie on the axis beside the samples
            return e.Reshape(e.Expand(e.Unsqueeze(mean, ints(1)), e.Shape(rows)), shape)
        ones = e.Expand(ints(1), e.Sub(e.Shape(shape), ints(1)))
        return e.Reshape(mean, e.Concat(count, ones, axis=0))
    before = e.ReduceProd(e.Slice(shape, ints(0), ints(int(axis))), keepdims=1)
    groups = ints(1)
    if inner:
        size = e.Gather(shape, ints(int(axis)))
        groups = e.Div(size, e.Mul(count, ints(inner)))
    laid = e.Reshape(x, e.Concat(before, groups, count, ints(-1), axis=0))
    mean = then(e.ReduceMean(laid, ints(0, 1, 3), keepdims=1))
    return e.Reshape(e.Expand(mean, e.Shape(laid)), shape)


def _is_one(axis: SampleAxis | int | None, count: Value) -> bool:
    """Whether all entries are of one sample, or of none."""
    if axis is None or getattr(axis, "mixed", False):
        return True
    return isinstance(count, np.ndarray) and bool(count[0] == 1)


def _sample_rows(e: Ops, x: Value, count: Value, rank: int) -> Value:
    """x as [samples, entries]; of pictures the means of their planes, in the layout they have."""
    if rank == _PICTURE and np.dtype(e.dtype) == np.float32:
        x = e.GlobalAveragePool(x)
    return e.Reshape(x, e.Concat(count, ints(-1), axis=0))


def _mean_of_rows(e: Ops, rows: Value) -> Value:
    """The mean of every row of x[rows, width], to the last bit the same beside any others.

    onnxruntime's reduction of rows adds up in an order that depends on how many there are. A pool
    takes channel after channel; where it takes no float64, columns are added up one entry after
    another, of which there must be two: one column is a row.
    """
    if np.dtype(e.dtype) == np.float32:
        return e.Reshape(e.GlobalAveragePool(e.Unsqueeze(rows, ints(1))), ints(-1))
    columns = e.Pad(e.Transpose(rows, perm=[1, 0]), ints(0, 0, 0, 1))
    return e.Slice(e.ReduceMean(columns, ints(0), keepdims=0), ints(0), ints(-1), ints(0))


def row_means(
    e: Ops, x: Value, axis: SampleAxis | int | None, count: Value, blocks: int = 1
) -> Value:
    """The mean of every sample's entries of each step of x[steps, rows, width], as wide as x.

    Args:
        axis: 1 where the rows are samples, merged with others perhaps; None: of no one sample.
        count: how many samples there are, int64[1].
        blocks: how many parts of a row, side by side, have a mean each.
    """
    shape = e.Shape(x)
    laid = e.Reshape(
        x, e.Concat(e.Slice(shape, ints(0), ints(2), ints(0)), ints(blocks, -1), axis=0)
    )
    mean = _mean_of_rows(e, e.Flatten(laid, axis=3))
    mean = e.Reshape(
        mean, e.Concat(e.Slice(shape, ints(0), ints(2), ints(0)), ints(blocks), axis=0)
    )
    inner = getattr(axis, "inner", 0)
    if axis is None or getattr(axis, "mixed", False):
        mean = e.ReduceMean(mean, ints(1), keepdims=1)
    elif inner or not getattr(axis, "alone", False):
        sizes = (count, ints(-1)) if not inner else (ints(-1), count, ints(inner))
        split = e.Reshape(mean, e.Concat(ints(0), *sizes, ints(blocks), axis=0))
        over = ints(2) if not inner else ints(1, 3)
        alike = e.Expand(e.ReduceMean(split, over, keepdims=1), e.Shape(split))
        mean = e.Reshape(alike, e.Shape(mean))
    return e.Reshape(e.Expand(e.Unsqueeze(mean, ints(3)), e.Shape(laid)), shape)
