"""Convolution at places that are data."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints


@expansion("DeformConv")
def deform_conv(
    e: Ops, op: Op, x: Value, w: Value, offset: Value, b: Value = None, mask: Value = None
) -> Value:
    """Bilinear samples of x at the kernel's places plus offset, times mask, then a 1x1 Conv."""
    kernel = _kernel(op)
    groups, count = op.attribute("offset_group", 1), kernel[0] * kernel[1]
    grouped = x
    if groups > 1:  # every offset group as a sample of its own
        channels = e.Shape(x, start=1, end=2) / ints(groups)
        grouped = e.laid(x, e.Shape(x, end=1) * ints(groups), channels, e.Shape(x, start=2))
    samples = e.GridSample(
        grouped,
        _grid(e, op, x, offset, kernel, groups),
        mode="linear" if op.version >= 20 else "bilinear",
        padding_mode="zeros",
        align_corners=0,
    )

    def by_plane(y: Value, *channels: int) -> Value:
        return e.laid(y, e.Shape(offset, end=1), *channels, e.Shape(offset, start=2, end=4))

    by_place = by_plane(samples, groups, -1, count)
    if mask is not None:
        by_place *= by_plane(mask, groups, 1, count)
    inner = e.laid(w, e.Shape(w, end=1), -1, 1, 1)
    return e.Conv(by_plane(by_place, -1), inner, b, group=op.attribute("group", 1))


def _kernel(op: Op) -> tuple[int, int]:
    """Rows and columns of the kernel. Raises RuleError where they are not known."""
    sizes = op.attribute("kernel_shape") or (op.type(1).shape or ())[2:]
    kernel = [n for n in sizes if isinstance(n, int)]
    if len(kernel) != 2:
        raise RuleError("its kernel is not known to be two-dimensional; give it kernel_shape")
    return kernel[0], kernel[1]


def _grid(e: Ops, op: Op, x: Value, offset: Value, kernel: tuple[int, int], groups: int) -> Value:
    """Places in GridSample's terms [samples * groups, places * rows, columns, (x, y)]."""
    by_side = e.laid(offset, -1, kernel[0] * kernel[1], 2, e.Shape(offset, start=2, end=4))
    rows, columns = (
        _places(e, op, part, e.Shape(x, start=2 + axis, end=3 + axis), kernel, axis)
        for axis, part in enumerate(e.halves(by_side, 2))
    )
    batch = e.Shape(offset, end=1) * ints(groups)
    return e.laid(e.Concat(columns, rows, axis=-1), batch, -1, e.Shape(offset, start=3), 2)


def _places(
    e: Ops, op: Op, offset: Value, size: Value, kernel: tuple[int, int], axis: int
) -> Value:
    """Places along one axis, -1 and 1 the outer edges [..., places, rows, columns, 1].

    Element i of `size` has its centre at (2 i + 1) / size - 1, as GridSample counts without
    align_corners.
    """
    stride, dilation = ((op.attribute(name) or (1, 1))[axis] for name in ("strides", "dilations"))
    pad = (op.attribute("pads") or (0, 0))[axis]
    steps = np.indices(kernel)[axis].reshape(1, -1, 1, 1) * dilation - pad
    first = e.places(e.length(offset, 3 + axis)) * np.int64(stride)
    first = e.Reshape(first, ints(-1, 1) if axis == 0 else ints(1, -1))
    fixed = e.floats(first + steps.astype(np.int64))
    place = fixed + e.Squeeze(offset, ints(2))
    scaled = (place * 2.0 + 1.0) / e.floats(size)
    return e.Unsqueeze(scaled - 1.0, ints(-1))
