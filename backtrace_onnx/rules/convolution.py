"""Convolutions, forwards and transposed: linear in input and kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.ops.windows import Window
from backtrace_onnx.rules.bias import biased
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.linear import Linear


def _kernel_shape(op: Op) -> tuple[int, ...]:
    """Spatial shape of the kernel. Raises RuleError where it is not known."""
    weight = op.constant(1)
    shape = op.type(1).shape if weight is None else weight.shape
    given = op.attribute("kernel_shape") or (None if shape is None else shape[2:])
    if given is None or not all(isinstance(n, int) for n in given):
        raise RuleError(
            f"{op.node.operator} node {op.node.name!r}: the shape of its kernel "
            f"{op.node.inputs[1]!r} is not known; run shape inference on the model first"
        )
    return tuple(given)


@rule("Conv")
def conv(op: Op) -> Structure:
    """Shared by contribution; the bias of each channel absorbs its share."""
    window, known = Window(op, _kernel_shape(op)), op.type(0).shape or ()

    def forward(e: Ops, x: Value, w: Value) -> Value:
        return e.Conv(x, w, group=window.group, **window.attributes)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        if k == 1:
            return kernel_adjoint(e, g, factors[0], shape, window)
        back = conv_adjoint(e, g, factors[1], shape, window, known[2:])
        return back if set(window.strides) == {1} else e.in_blocks(back, known)

    return biased(op, Linear(forward=forward, adjoint=adjoint), per_channel(window.rank))


def per_channel(rank: int) -> tuple[int, ...]:
    """The shape [channels, 1, ...] in which a bias per channel is broadcast against the output."""
    return (-1, *[1] * rank)


def conv_adjoint(
    e: Ops, g: Value, w: Value, shape: Value, window: Window, known: Sequence[int | str | None] = ()
) -> Value:
    """The adjoint of Conv in its input: `g`, shaped like the output, carried back to `shape`.

    Where the spatial sizes of that are `known`, a transposed convolution makes just them. It is a
    Conv with the turned kernel where there is no stride, and for groups: onnxruntime's transposed
    convolution takes 10 to 40 times as long there.
    """
    if set(window.strides) == {1} and window.auto_pad == "NOTSET":
        return _flipped_conv(e, g, w, window)
    if window.group == 1 and (exact := _exact(window, known)) is not None:
        return e.ConvTranspose(g, w, **window.steps, **exact)
    if window.group == 1:
        full = e.ConvTranspose(g, w, **window.steps)
        return fitted(e, full, shape, window.first(e, shape), window.rank)
    pads = [r - 1 for r in window.reach] * 2
    spaced = _spaced(e, g, window)
    full = e.Conv(
        spaced, _turned(e, w, window), pads=pads, dilations=window.dilations, group=window.group
    )
    before, after = window.exact_pads(e, shape, e.Shape(g))
    return window.cut(e, full, before, e.Add(after, ints(*(s - 1 for s in window.strides))))


def _exact(window: Window, known: Sequence[int | str | None]) -> dict[str, list[int]] | None:
    """Attributes of the transposed convolution that makes an input of `known` spatial sizes."""
    size = [n for n in known if isinstance(n, int)]
    if len(size) != window.rank or min(window.pads) < 0:
        return None
    before, after = window.known_pads(size)
    return {
        "pads": before + [max(n, 0) for n in after],
        "output_padding": [max(-n, 0) for n in after],
    }


def _spaced(e: Ops, g: Value, window: Window) -> Value:
    """g with stride - 1 zeros after every element."""
    if set(window.strides) == {1}:
        return g
    pick = np.zeros((1, 1, *window.strides), e.dtype)
    pick.flat[0] = 1
    apart = e.ConvTranspose(window.each_channel(e, g), pick, strides=window.strides)
    size = e.Mul(window.size(e, e.Shape(g)), ints(*window.strides))
    return e.Reshape(apart, e.Concat(e.Shape(g, start=0, end=2), size, axis=0))


def _turned(e: Ops, w: Value, window: Window) -> Value:
    """The kernel w[out, in / group, *kernel] flipped, its channels traded within every group."""
    rank, group = window.rank, window.group
    if any(k > 1 for k in window.kernel):
        low, high = [-1] * rank, [np.iinfo(np.int64).min] * rank
        w = e.Slice(w, ints(*low), ints(*high), ints(*window.spatial), ints(*low))
    if group == 1:
        return e.Transpose(w, perm=[1, 0, *window.spatial])
    apart = e.Reshape(w, e.Concat(ints(group, -1), e.Shape(w, start=1), axis=0))
    traded = e.Transpose(apart, perm=[0, 2, 1, *(axis + 1 for axis in window.spatial)])
    return e.Reshape(traded, e.Concat(ints(-1), e.Shape(traded, start=2), axis=0))


def kernel_adjoint(e: Ops, g: Value, x: Value, shape: Value, window: Window) -> Value:
    """The adjoint of Conv in its kernel, for kernels that are data: a tensor of `shape`.

    A kernel's entry meets the input once per sample and place of the output. To sum over these is
    a convolution, too: of the input with `g`, in which samples and channels trade their roles.
    """
    group, spatial = window.group, window.spatial
    before, after = window.exact_pads(e, e.Shape(x), e.Shape(g))
    padded = window.padded(e, x, before, after, e.zero())
    size = window.size(e, e.Shape(padded))
    apart = e.Reshape(padded, e.Concat(ints(0, group, -1), size, axis=0))
    turned = e.Transpose(apart, perm=[2, 1, 0, *(axis + 1 for axis in spatial)])
    samples = e.Mul(e.Shape(x, start=0, end=1), ints(group))
    laid = e.Reshape(turned, e.Concat(ints(-1), samples, size, axis=0))
    made = e.Conv(
        laid,
        e.Transpose(g, perm=[1, 0, *spatial]),
        strides=window.dilations,
        dilations=window.strides,
        group=group,
    )
    return e.Reshape(e.Transpose(made, perm=[1, 0, *spatial]), shape)


def _flipped_conv(e: Ops, g: Value, w: Value, window: Window) -> Value:
    """With stride 1 the adjoint is a Conv with the turned kernel."""
    rank, turned = window.rank, _turned(e, w, window)
    begin = [r - 1 - p for r, p in zip(window.reach, window.pads[:rank], strict=True)]
    end = [r - 1 - p for r, p in zip(window.reach, window.pads[rank:], strict=True)]
    pads = [max(p, 0) for p in begin + end]
    grown = e.Conv(g, turned, pads=pads, dilations=window.dilations, group=window.group)
    if min(begin + end) >= 0:
        return grown
    cut = [max(-p, 0) for p in begin], [max(-p, 0) for p in end]
    stop = [-c if c else np.iinfo(np.int64).max for c in cut[1]]
    return e.Slice(grown, ints(*cut[0]), ints(*stop), ints(*window.spatial))


def fitted(e: Ops, x: Value, shape: Value, first: Value, rank: int) -> Value:
    """The window of `x` that begins at `first` (spatial axes) and has the spatial size of `shape`.

    What lies beyond the end of x is 0: no window of the operator reached there.
    """
    size = e.Slice(shape, ints(2), ints(2 + rank))
    have = e.Slice(e.Shape(x), ints(2), ints(2 + rank))
    stop = e.Add(first, size)
    more = e.Max(e.Sub(stop, have), ints(0))
    zeros = ints(*[0] * (rank + 2))
    padded = e.Pad(x, e.Concat(zeros, ints(0, 0), more, axis=0))
    return e.Slice(padded, first, stop, ints(*range(2, 2 + rank)))


@rule("ConvTranspose")
def conv_transpose(op: Op) -> Structure:
    """Shared by contribution; the bias of each channel absorbs its share."""
    window = Window(op, _kernel_shape(op))
    sizes = {name: op.attribute(name) for name in ("output_shape", "output_padding")}

    def forward(e: Ops, x: Value, w: Value) -> Value:
        return e.ConvTranspose(x, w, group=window.group, **window.attributes, **sizes)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        laid = _uncut(e, g, shape if k == 0 else e.Shape(factors[0]), window, sizes)
        if k == 0:
            return e.Conv(laid, factors[1], group=window.group, **window.steps)
        return kernel_adjoint(e, factors[0], laid, shape, window.unpadded())

    return biased(op, Linear(forward=forward, adjoint=adjoint), per_channel(window.rank))


def _uncut(
    e: Ops, g: Value, shape: Value, window: Window, sizes: dict[str, Sequence[int] | None]
) -> Value:
    """g before the cut that padding means in a transposed convolution of an input of `shape`."""
    covered = window.covered(e, shape)
    if sizes["output_shape"] is None and window.auto_pad in ("NOTSET", "VALID"):
        before: Value = ints(*window.pads[: window.rank])
    else:
        more = ints(*(sizes["output_padding"] or (0,) * window.rank))
        cut = e.Sub(e.Add(covered, more), window.size(e, e.Shape(g)))
        odd = ints(0 if window.auto_pad == "SAME_UPPER" else 1)
        before = e.Div(e.Add(e.Max(cut, ints(0)), odd), ints(2))
    after = e.Sub(covered, e.Add(before, window.size(e, e.Shape(g))))
    return window.padded(e, g, before, after, e.zero())
