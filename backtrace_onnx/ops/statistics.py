"""Statistics of the units of one sample, in ONNX's words."""

from __future__ import annotations

from backtrace_onnx.graph.graph import SampleAxis
from backtrace_onnx.ops.vocabulary import Ops, Value, ints


def sample_mean(e: Ops, x: Value, axis: SampleAxis | int | None, count: Value) -> Value:
    """The mean of every sample's entries of x, broadcast against x.

    Args:
        axis: along which samples lie, merged with others perhaps; None: x is of no one sample.
        count: how many samples there are, int64[1].
    """
    if axis is None or getattr(axis, "mixed", False):
        return e.ReduceMean(x, keepdims=1)
    shape, inner = e.Shape(x), getattr(axis, "inner", 0)
    before = e.ReduceProd(e.Slice(shape, ints(0), ints(int(axis))), keepdims=1)
    groups = ints(1)
    if inner:
        size = e.Gather(shape, ints(int(axis)))
        groups = e.Div(size, e.Mul(count, ints(inner)))
    laid = e.Reshape(x, e.Concat(before, groups, count, ints(-1), axis=0))
    mean = e.ReduceMean(laid, ints(0, 1, 3), keepdims=1)
    return e.Reshape(e.Expand(mean, e.Shape(laid)), shape)
