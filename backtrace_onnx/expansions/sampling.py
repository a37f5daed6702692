"""Convolution at places that are data."""

from __future__ import annotations

from typing import Any

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints


@expansion("DeformConv")
def deform_conv(
    e: Ops,
    op: Op,
    x: Value,
    w: Value,
    offset: Value,
    b: Value | None = None,
    mask: Value | None = None,
) -> Value:
    """Bilinear samples of x at the kernel's places plus offset, times mask, then a 1x1 Conv."""
    kernel = _kernel(op)
    groups = int(op.attribute("offset_group", 1))
    places = int(np.prod(kernel))
    shape = e.Shape(x)
    samples = e.GridSample(
        _grouped(e, x, shape, groups),
        _grid(e, op, offset, shape, kernel, groups),
        mode="linear" if op.version >= 20 else "bilinear",
        padding_mode="zeros",
        align_corners=0,
    )
    plane = e.Shape(offset, start=2, end=4)
    by_place = e.Reshape(
        samples, e.Concat(e.Shape(offset, start=0, end=1), ints(groups, -1, places), plane, axis=0)
    )
    if mask is not None:
        laid = e.Concat(e.Shape(offset, start=0, end=1), ints(groups, 1, places), plane, axis=0)
        by_place = e.Mul(by_place, e.Reshape(mask, laid))
    laid = e.Concat(e.Shape(offset, start=0, end=1), ints(-1), plane, axis=0)
    flat = e.Reshape(by_place, laid)
    inner = e.Reshape(w, e.Concat(e.Shape(w, start=0, end=1), ints(-1, 1, 1), axis=0))
    group = int(op.attribute("group", 1))
    return (
        e.Conv(flat, inner, b, group=group) if b is not None else e.Conv(flat, inner, group=group)
    )


def _kernel(op: Op) -> tuple[int, int]:
    given = op.attribute("kernel_shape") or (op.type(1).shape or ())[2:]
    kernel = [n for n in given if isinstance(n, int)]
    if len(kernel) != 2:
        raise RuleError(
            f"DeformConv node {op.node.name!r}: its kernel is not known to be two-dimensional; "
            "give it kernel_shape"
        )
    return kernel[0], kernel[1]


def _grouped(e: Ops, x: Value, shape: Value, groups: int) -> Value:
    """x with every offset group as a sample of its own."""
    if groups == 1:
        return x
    plane = e.Slice(shape, ints(2), ints(4))
    batch = e.Mul(e.Slice(shape, ints(0), ints(1)), ints(groups))
    channels = e.Div(e.Slice(shape, ints(1), ints(2)), ints(groups))
    return e.Reshape(x, e.Concat(batch, channels, plane, axis=0))


def _grid(
    e: Ops, op: Op, offset: Value, shape: Value, kernel: tuple[int, int], groups: int
) -> Value:
    """Places in GridSample's terms [samples * groups, places * rows, columns, (x, y)]."""
    places = kernel[0] * kernel[1]
    laid = e.Concat(ints(-1, places, 2), e.Shape(offset, start=2, end=4), axis=0)
    parts = e.Split(e.Reshape(offset, laid), axis=2, outputs=2, num_outputs=2)
    sides = [_places(e, op, part, shape, kernel, axis) for axis, part in enumerate(parts)]
    grid = e.Concat(sides[1], sides[0], axis=-1)
    columns = e.Shape(offset, start=3, end=4)
    batch = e.Mul(e.Shape(offset, start=0, end=1), ints(groups))
    return e.Reshape(grid, e.Concat(batch, ints(-1), columns, ints(2), axis=0))


def _places(
    e: Ops, op: Op, offset: Value, shape: Value, kernel: tuple[int, int], axis: int
) -> Value:
    """Places along one axis, -1 and 1 the outer edges [..., places, rows, columns, 1]."""
    moved = e.Squeeze(offset, ints(2))
    stride, dilation, pad = (_pair(op, name, axis) for name in ("strides", "dilations", "pads"))
    steps = np.indices(kernel)[axis].reshape(1, -1, 1, 1) * dilation - pad
    count = e.Squeeze(e.Shape(offset, start=3 + axis, end=4 + axis))
    first = e.Mul(e.Range(np.int64(0), count, np.int64(1)), np.int64(stride))
    first = e.Reshape(first, ints(-1, 1) if axis == 0 else ints(1, -1))
    place = e.Add(e.Cast(e.Add(first, steps.astype(np.int64)), to=e.float_type), moved)
    size = e.Cast(e.Slice(shape, ints(2 + axis), ints(3 + axis)), to=e.float_type)
    scaled = e.Div(e.Add(e.Mul(place, e.scalar(2)), e.scalar(1)), size)
    return e.Unsqueeze(e.Sub(scaled, e.scalar(1)), ints(-1))


def _pair(op: Op, name: str, axis: int) -> int:
    default: Any = (0, 0, 0, 0) if name == "pads" else (1, 1)
    return int((op.attribute(name) or default)[axis])
