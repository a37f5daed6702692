"""Operators of com.microsoft that ONNX has under the same or another name."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
_LINEAR_SINCE = 20


@expansion("ExpandDims", domain=MICROSOFT)
def expand_dims(e: Ops, op: Op, x: Value, axis: Value) -> Value:
    """Unsqueeze."""
    return e.Unsqueeze(x, e.Reshape(e.Cast(axis, to=7), ints(1)))


@expansion("Trilu", domain=MICROSOFT)
def trilu(e: Ops, op: Op, x: Value, k: Value = None) -> Value:
    """Trilu."""
    return e.Trilu(*([x] if k is None else [x, k]), upper=int(op.attribute("upper", 1)))


@expansion("GatherND", domain=MICROSOFT)
def gather_nd(e: Ops, op: Op, x: Value, indices: Value) -> Value:
    """GatherND."""
    return e.GatherND(x, e.Cast(indices, to=7))


@expansion("Pad", domain=MICROSOFT)
def pad(e: Ops, op: Op, x: Value, pads: Value, value: Value = None) -> Value:
    """Pad."""
    mode, flat = op.attribute("mode", "constant"), e.Reshape(pads, ints(-1))
    if value is None:
        return e.Pad(x, flat, mode=mode)
    return e.Pad(x, flat, e.Reshape(value, ints()), mode=mode)


@expansion("Unique", domain=MICROSOFT)
def unique(e: Ops, op: Op, x: Value) -> tuple[Value, ...]:
    """Unique, in the order of appearance."""
    y, _, inverse, counts = e.Unique(x, sorted=0, outputs=4)
    return y, inverse, counts


@expansion("GridSample", domain=MICROSOFT)
def grid_sample(e: Ops, op: Op, x: Value, grid: Value) -> Value:
    """GridSample."""
    mode = op.attribute("mode", "bilinear")
    if op.graph.opsets.get("", 0) >= _LINEAR_SINCE:
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return e.GridSample(
        x,
        grid,
        mode=mode,
        padding_mode=op.attribute("padding_mode", "zeros"),
        align_corners=int(op.attribute("align_corners", 0)),
    )


@expansion("UnfoldTensor", domain=MICROSOFT)
def unfold_tensor(e: Ops, op: Op, x: Value) -> Value:
    """Every window of `size` elements along an axis, as a last axis."""
    rank, size, step = op.rank(0), int(op.attribute("size")), int(op.attribute("step", 1))
    axis = int(op.attribute("dim", -1)) % rank
    length = e.Gather(e.Shape(x), np.int64(axis))
    first = e.Range(np.int64(0), e.Sub(length, np.int64(size - 1)), np.int64(step))
    places = e.Add(e.Unsqueeze(first, ints(1)), np.arange(size, dtype=np.int64))
    windows = e.Gather(x, places, axis=axis)
    return e.Transpose(windows, perm=[*(a for a in range(rank + 1) if a != axis + 1), axis + 1])
