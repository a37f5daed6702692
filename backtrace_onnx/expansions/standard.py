"""Operators of com.microsoft that ONNX has under the same or another name."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.phrases import INT64, given, picked
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints

_LINEAR_SINCE = 20  # the opset in which GridSample's modes got these names


@microsoft("ExpandDims")
def expand_dims(e: Ops, op: Op, x: Value, axis: Value) -> Value:
    """Unsqueeze."""
    return e.Unsqueeze(x, e.Reshape(e.Cast(axis, to=INT64), ints(1)))


@microsoft("Trilu")
def trilu(e: Ops, op: Op, x: Value, k: Value = None) -> Value:
    """Trilu."""
    return e.Trilu(*given(x, k), upper=op.attribute("upper", 1))


@microsoft("GatherND")
def gather_nd(e: Ops, op: Op, x: Value, indices: Value) -> Value:
    """GatherND."""
    return e.GatherND(x, e.Cast(indices, to=INT64))


@microsoft("Pad")
def pad(e: Ops, op: Op, x: Value, pads: Value, value: Value = None) -> Value:
    """Pad."""
    filling = None if value is None else e.Reshape(value, ints())
    edges = e.Reshape(pads, ints(-1))
    return e.Pad(*given(x, edges, filling), mode=op.attribute("mode", "constant"))


@microsoft("Unique")
def unique(e: Ops, op: Op, x: Value) -> tuple[Value, ...]:
    """Unique, in the order of appearance."""
    y, _, inverse, counts = e.Unique(x, sorted=0, outputs=4)
    return y, inverse, counts


@microsoft("GridSample")
def grid_sample(e: Ops, op: Op, x: Value, grid: Value) -> Value:
    """GridSample."""
    mode = op.attribute("mode", "bilinear")
    if op.graph.opsets.get("", 0) >= _LINEAR_SINCE:
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return e.GridSample(x, grid, mode=mode, **picked(op, "padding_mode", "align_corners"))


@microsoft("UnfoldTensor")
def unfold_tensor(e: Ops, op: Op, x: Value) -> Value:
    """Every window of `size` elements along an axis, as a last axis."""
    rank, size, step = op.rank(0), op.attribute("size"), op.attribute("step", 1)
    axis = op.attribute("dim", -1) % rank
    length = e.Gather(e.Shape(x), np.int64(axis))
    first = e.Range(np.int64(0), e.Sub(length, np.int64(size - 1)), np.int64(step))
    places = e.Add(e.Unsqueeze(first, ints(1)), np.arange(size, dtype=np.int64))
    windows = e.Gather(x, places, axis=axis)
    return e.Transpose(windows, perm=[*(a for a in range(rank + 1) if a != axis + 1), axis + 1])
