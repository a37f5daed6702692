"""Convolution at places that are data."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.phrases import given
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints


@expansion("DeformConv")
def deform_conv(
    e: Ops, op: Op, x: Value, w: Value, offset: Value, b: Value = None, mask: Value = None
) -> Value:
    """Bilinear samples of x at the kernel's places plus offset, times mask, then a 1x1 Conv."""
    kernel = _kernel(op)
    groups, places = op.attribute("offset_group", 1), kernel[0] * kernel[1]
    shape = e.Shape(x)
    samples = e.GridSample(
        _grouped(e, x, shape, groups),
        _grid(e, op, offset, shape, kernel, groups),
        mode="linear" if op.version >= 20 else "bilinear",
        padding_mode="zeros",
        align_corners=0,
    )

    def laid(y: Value, *channels: int) -> Value:
        batch, plane = e.Shape(offset, start=0, end=1), e.Shape(offset, start=2, end=4)
        return e.Reshape(y, e.Concat(batch, ints(*channels), plane, axis=0))

    by_place = laid(samples, groups, -1, places)
    if mask is not None:
        by_place = e.Mul(by_place, laid(mask, groups, 1, places))
    inner = e.Reshape(w, e.Concat(e.Shape(w, start=0, end=1), ints(-1, 1, 1), axis=0))
    return e.Conv(*given(laid(by_place, -1), inner, b), group=op.attribute("group", 1))


def _kernel(op: Op) -> tuple[int, int]:
    """Rows and columns of the kernel. Raises RuleError where they are not known."""
    sizes = op.attribute("kernel_shape") or (op.type(1).shape or ())[2:]
    kernel = [n for n in sizes if isinstance(n, int)]
    if len(kernel) != 2:
        raise RuleError("its kernel is not known to be two-dimensional; give it kernel_shape")
    return kernel[0], kernel[1]


def _grouped(e: Ops, x: Value, shape: Value, groups: int) -> Value:
    """x with every offset group as a sample of its own."""
    if groups == 1:
        return x
    samples, channels, plane = (
        e.Slice(shape, ints(first), ints(end)) for first, end in ((0, 1), (1, 2), (2, 4))
    )
    number = ints(groups)
    return e.Reshape(x, e.Concat(e.Mul(samples, number), e.Div(channels, number), plane, axis=0))


def _grid(
    e: Ops, op: Op, offset: Value, shape: Value, kernel: tuple[int, int], groups: int
) -> Value:
    """Places in GridSample's terms [samples * groups, places * rows, columns, (x, y)]."""
    by_side = e.Concat(ints(-1, kernel[0] * kernel[1], 2), e.Shape(offset, start=2, end=4), axis=0)
    parts = e.Split(e.Reshape(offset, by_side), axis=2, outputs=2, num_outputs=2)
    rows, columns = (_places(e, op, part, shape, kernel, axis) for axis, part in enumerate(parts))
    batch = e.Mul(e.Shape(offset, start=0, end=1), ints(groups))
    laid = e.Concat(batch, ints(-1), e.Shape(offset, start=3, end=4), ints(2), axis=0)
    return e.Reshape(e.Concat(columns, rows, axis=-1), laid)


def _places(
    e: Ops, op: Op, offset: Value, shape: Value, kernel: tuple[int, int], axis: int
) -> Value:
    """Places along one axis, -1 and 1 the outer edges [..., places, rows, columns, 1].

    Element i of `size` has its centre at (2 i + 1) / size - 1, as GridSample counts without
    align_corners.
    """
    stride, dilation = ((op.attribute(name) or (1, 1))[axis] for name in ("strides", "dilations"))
    pad = (op.attribute("pads") or (0, 0))[axis]
    steps = np.indices(kernel)[axis].reshape(1, -1, 1, 1) * dilation - pad
    count = e.Squeeze(e.Shape(offset, start=3 + axis, end=4 + axis))
    first = e.Mul(e.Range(np.int64(0), count, np.int64(1)), np.int64(stride))
    first = e.Reshape(first, ints(-1, 1) if axis == 0 else ints(1, -1))
    fixed = e.Cast(e.Add(first, steps.astype(np.int64)), to=e.float_type)
    place = e.Add(fixed, e.Squeeze(offset, ints(2)))
    size = e.Cast(e.Slice(shape, ints(2 + axis), ints(3 + axis)), to=e.float_type)
    scaled = e.Div(e.Add(e.Mul(place, e.scalar(2)), e.scalar(1)), size)
    return e.Unsqueeze(e.Sub(scaled, e.scalar(1)), ints(-1))
