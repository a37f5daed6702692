"""Matrix products and convolutions: linear in each factor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.errors import RuleError
from backtrace_onnx.registry import Op, rule
from backtrace_onnx.rules.window import Window
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.linear import Linear


def _constant_bias(op: Op, i: int) -> np.ndarray | None:
    """The bias as a constant. Raises RuleError where the model computes it."""
    if not op.has(i):
        return None
    bias = op.constant(i)
    if bias is None:
        raise RuleError(
            f"{op.node.operator} node {op.node.name!r}: its bias {op.node.inputs[i]!r} is computed "
            "while the model runs; write it as a separate Add"
        )
    return bias


@rule("MatMul")
def matmul(op: Op) -> Structure:
    """Linear in each factor; two data factors share alike."""
    ranks = op.rank(0), op.rank(1)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        other = factors[1 - k]
        if ranks[0] == 1:
            g = e.Unsqueeze(g, ints(-2 if ranks[1] > 1 else -1))
        if ranks[1] == 1:
            g = e.Unsqueeze(g, ints(-1))
        if k == 0:
            full = e.MatMul(g, _swapped(e, _column(e, other, ranks[1]), max(ranks[1], 2)))
            return e.unbroadcast(_as_row(e, full, ranks[0], ranks[1]), shape)
        full = e.MatMul(_swapped(e, _row(e, other, ranks[0]), max(ranks[0], 2)), g)
        return e.unbroadcast(e.Squeeze(full, ints(-1)) if ranks[1] == 1 else full, shape)

    return Linear(
        forward=lambda e, a, b: e.MatMul(a, b), adjoint=adjoint, bias=_constant_bias(op, 2)
    )


def _swapped(e: Ops, x: Value, rank: int) -> Value:
    return e.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


def _column(e: Ops, x: Value, rank: int) -> Value:
    return e.Unsqueeze(x, ints(1)) if rank == 1 else x


def _row(e: Ops, x: Value, rank: int) -> Value:
    return e.Unsqueeze(x, ints(0)) if rank == 1 else x


def _as_row(e: Ops, x: Value, rank: int, other: int) -> Value:
    return e.Squeeze(x, ints(-2)) if rank == 1 else x


@rule("Gemm")
def gemm(op: Op) -> Structure:
    """Linear in each factor, with a bias."""
    turned = bool(op.attribute("transA", 0)), bool(op.attribute("transB", 0))
    alpha = float(op.attribute("alpha", 1.0))
    if alpha < 0:  # a constant factor has alpha folded into it when nodes are joined
        raise RuleError(
            f"Gemm node {op.node.name!r}: alpha < 0 with two data factors; negate one instead"
        )
    bias = _constant_bias(op, 2)
    if bias is not None:
        bias = bias * bias.dtype.type(op.attribute("beta", 1.0))

    def forward(e: Ops, a: Value, b: Value) -> Value:
        return e.Gemm(a, b, transA=int(turned[0]), transB=int(turned[1]), alpha=alpha)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        other, flip = factors[1 - k], turned[1 - k]
        if k == 0:
            made = e.Gemm(g, other, transB=int(not flip), alpha=alpha)
        else:
            made = e.Gemm(other, g, transA=int(not flip), alpha=alpha)
        return e.Transpose(made, perm=[1, 0]) if turned[k] else made

    return Linear(forward=forward, adjoint=adjoint, bias=bias)


@rule("Conv")
def conv(op: Op) -> Structure:
    """Linear, with a bias per channel."""
    weight = op.constant(1)
    if weight is None:
        shape = op.type(1).shape
        if shape is None or not all(isinstance(n, int) for n in shape):
            raise RuleError(
                f"Conv node {op.node.name!r}: the shape of its computed weight is not known"
            )
        weight_shape = tuple(int(n) for n in shape if n is not None)
    else:
        weight_shape = weight.shape
    window = Window(op, weight_shape[2:])
    bias = _constant_bias(op, 2)
    if op.carries(1):
        raise RuleError(
            f"Conv node {op.node.name!r}: its weight depends on an input; no rule for that yet"
        )

    def forward(e: Ops, x: Value, w: Value) -> Value:
        return e.Conv(x, w, group=window.group, **window.attributes)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        return conv_adjoint(e, g, factors[1], shape, window)

    return Linear(
        forward=forward,
        adjoint=adjoint,
        bias=None if bias is None else bias.reshape(-1, *[1] * window.rank),
    )


def conv_adjoint(e: Ops, g: Value, w: Value, shape: Value, window: Window) -> Value:
    """Adjoint of Conv in its input, cut or padded to `shape`."""
    rank = window.rank
    if set(window.strides) == {1} and window.auto_pad == "NOTSET" and window.group == 1:
        return _flipped_conv(e, g, w, window)
    full = e.ConvTranspose(
        g, w, strides=window.strides, dilations=window.dilations, group=window.group
    )
    return fitted(e, full, shape, window.first(e, shape), rank)


def _flipped_conv(e: Ops, g: Value, w: Value, window: Window) -> Value:
    """With stride 1 the adjoint is a Conv with the flipped, transposed kernel."""
    rank = window.rank
    turned = e.Transpose(w, perm=[1, 0, *range(2, 2 + rank)])
    if any(k > 1 for k in window.kernel):
        low, high = [-1] * rank, [np.iinfo(np.int64).min] * rank
        turned = e.Slice(turned, ints(*low), ints(*high), ints(*range(2, 2 + rank)), ints(*low))
    begin = [r - 1 - p for r, p in zip(window.reach, window.pads[:rank], strict=True)]
    end = [r - 1 - p for r, p in zip(window.reach, window.pads[rank:], strict=True)]
    if min(begin + end) >= 0:
        return e.Conv(g, turned, pads=[*begin, *end], dilations=window.dilations)
    grown = e.Conv(g, turned, pads=[max(p, 0) for p in begin + end], dilations=window.dilations)
    cut = [max(-p, 0) for p in begin], [max(-p, 0) for p in end]
    stop = [-c if c else np.iinfo(np.int64).max for c in cut[1]]
    return e.Slice(grown, ints(*cut[0]), ints(*stop), ints(*range(2, 2 + rank)))


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
