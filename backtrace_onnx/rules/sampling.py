"""Sampling at computed places: linear in the image, with weights that the places decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Step, Structure
from backtrace_onnx.structures.linear import Linear

Taps = list[tuple[Value, Value]]
_CUBIC = -0.75  # the coefficient that ONNX prescribes


@rule("GridSample")
def grid_sample(op: Op) -> Structure:
    """Shared by contribution among the pixels that are read; the grid is a gate and takes none."""
    if not op.carries(0):
        raise RuleError(f"GridSample node {op.node.name!r}: only its grid depends on an input")
    rank = op.rank(0)

    def forward(e: Ops, x: Value, weight: Value, grid: Value) -> Value:
        shape = e.Shape(x)
        flat = e.Reshape(x, ints(0, 0, -1))
        index = _for_channels(e, _places(e, op, grid, shape)[0], shape)
        read = e.Reshape(e.GatherElements(flat, index, axis=2), _by_tap(e, shape, weight))
        summed = e.ReduceSum(e.Mul(read, e.Unsqueeze(weight, ints(1))), ints(2), keepdims=0)
        size = e.Slice(e.Shape(grid), ints(1), ints(rank - 1))
        return e.Reshape(summed, e.Concat(ints(0, 0), size, axis=0))

    def adjoint(
        e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value, grid: Value
    ) -> Value:
        spread = e.Mul(e.Reshape(g, _by_tap(e, shape, None)), e.Unsqueeze(factors[1], ints(1)))
        index = _for_channels(e, _places(e, op, grid, shape)[0], shape)
        pixels = e.ReduceProd(e.Slice(shape, ints(2), ints(rank)), keepdims=1)
        zeros = e.Expand(e.zero(), e.Concat(e.Slice(shape, ints(0), ints(2)), pixels, axis=0))
        laid = e.Reshape(spread, e.Shape(index))
        return e.Reshape(e.ScatterElements(zeros, index, laid, axis=2, reduction="add"), shape)

    def weights(step: Step) -> tuple[Value, ...]:
        def text(e: Ops, grid: Value, shape: Value) -> Value:
            return _places(e, op, grid, shape)[1]

        return (step.ops.apply(f"{op.node.name}/weights", text, step.condition(1), step.shape(0)),)

    return Linear(
        forward=forward,
        adjoint=adjoint,
        factors=(0,),
        weights=weights,
        positive="cubic" not in op.attribute("mode", "linear"),
        steering=(1,),
        held=(1,),
    )


def _by_tap(e: Ops, shape: Value, weight: Value | None) -> Value:
    """[samples, channels, taps, places], or [samples, channels, 1, places]."""
    outer = e.Slice(shape, ints(0), ints(2))
    taps = ints(1) if weight is None else e.Slice(e.Shape(weight), ints(1), ints(2))
    return e.Concat(outer, taps, ints(-1), axis=0)


def _for_channels(e: Ops, index: Value, shape: Value) -> Value:
    """Index [samples, taps, places] as [samples, channels, taps * places]."""
    flat = e.Unsqueeze(e.Reshape(index, ints(0, -1)), ints(1))
    channels = e.Slice(shape, ints(1), ints(2))
    return e.Expand(flat, e.Concat(ints(1), channels, ints(1), axis=0))


def _places(e: Ops, op: Op, grid: Value, shape: Value) -> tuple[Value, Value]:
    """(pixel number, weight) of every tap of every place, both [samples, taps, places]."""
    rank = op.rank(0)
    along = []
    for axis in range(2, rank):
        at = e.Gather(grid, np.int64(rank - 1 - axis), axis=-1)
        at = e.Unsqueeze(e.Reshape(at, ints(0, -1)), ints(1))
        along.append(_taps(e, op, at, e.Slice(shape, ints(axis), ints(axis + 1))))
    numbers, weights = [], []
    for combo in product(*along):
        number, weight = combo[0]
        for axis, (index, factor) in enumerate(combo[1:], 3):
            size = e.Slice(shape, ints(axis), ints(axis + 1))
            number, weight = e.Add(e.Mul(number, size), index), e.Mul(weight, factor)
        numbers.append(number)
        weights.append(weight)
    return e.Concat(*numbers, axis=1), e.Concat(*weights, axis=1)


def _taps(e: Ops, op: Op, at: Value, size: Value) -> Taps:
    """(index, weight) of the pixels read along one axis of `size`, at -1 ... 1."""
    n, one, half = e.Cast(size, to=e.float_type), e.scalar(1), e.scalar(0.5)
    if op.attribute("align_corners", 0):
        low, high = e.scalar(0), e.Sub(n, one)
        at = e.Mul(e.Mul(e.Add(at, one), half), high)
    else:
        low, high = e.scalar(-0.5), e.Sub(n, half)
        at = e.Mul(e.Sub(e.Mul(e.Add(at, one), n), one), half)
    padding = op.attribute("padding_mode", "zeros")
    mode = op.attribute("mode", "linear")
    if mode == "nearest":
        return [_tap(e, e.Round(_folded(e, at, low, high, n, padding)), one, low, high, n, padding)]
    at = at if "cubic" in mode else _folded(e, at, low, high, n, padding)
    first = e.Floor(at)
    part = e.Sub(at, first)
    if "cubic" not in mode:
        offsets = {0: e.Sub(one, part), 1: part}
    else:
        offsets = {k: _cubic(e, e.Abs(e.Sub(part, e.scalar(k))), k) for k in (-1, 0, 1, 2)}
    taps = [
        _tap(e, e.Add(first, e.scalar(k)), weight, low, high, n, padding)
        for k, weight in offsets.items()
    ]
    # What one pixel contributes through several taps is one contribution, with one sign.
    return taps if padding == "zeros" else _merged(e, taps)


def _merged(e: Ops, taps: Taps) -> Taps:
    """Taps that fell on one pixel as one: its weight is their sum, the later ones have none."""
    merged = []
    for k, (index, _) in enumerate(taps):
        same = [e.Equal(index, other) for other, _ in taps]
        weight = e.sum([e.Where(hit, w, e.zero()) for hit, (_, w) in zip(same, taps, strict=True)])
        for hit in same[:k]:
            weight = e.Where(hit, e.zero(), weight)
        merged.append((index, weight))
    return merged


def _cubic(e: Ops, t: Value, offset: int) -> Value:
    """Weight of a pixel at distance t: near ones within 1, far ones within 2."""
    a, square = e.scalar(_CUBIC), e.Mul(t, t)
    cube = e.Mul(square, t)
    if offset in (0, 1):
        near = e.Sub(e.Mul(e.scalar(_CUBIC + 2), cube), e.Mul(e.scalar(_CUBIC + 3), square))
        return e.Add(near, e.scalar(1))
    far = e.Sub(cube, e.Mul(e.scalar(5), square))
    return e.Mul(a, e.Sub(e.Add(far, e.Mul(e.scalar(8), t)), e.scalar(4)))


def _tap(
    e: Ops, at: Value, weight: Value, low: Value, high: Value, n: Value, padding: str
) -> tuple[Value, Value]:
    """The pixel at the whole number `at`; outside it is 0, the border's or the reflected one."""
    last = e.Sub(n, e.scalar(1))
    if padding == "zeros":
        inside = e.And(e.GreaterOrEqual(at, e.zero()), e.LessOrEqual(at, last))
        weight = e.Where(inside, e.Expand(weight, e.Shape(at)), e.zero())
    at = _folded(e, at, low, high, n, padding)
    index = e.Cast(e.Min(e.Max(at, e.zero()), last), to=7)
    return index, e.Expand(weight, e.Shape(at))


def _folded(e: Ops, at: Value, low: Value, high: Value, n: Value, padding: str) -> Value:
    """A coordinate brought inside, as the padding mode says."""
    if padding == "border":
        return e.Min(e.Max(at, e.zero()), e.Sub(n, e.scalar(1)))
    if padding != "reflection":
        return at
    span = e.Max(e.Sub(high, low), e.scalar(np.finfo(e.dtype).tiny))
    away = e.Abs(e.Sub(at, low))
    turns = e.Floor(e.Div(away, span))
    rest = e.Sub(away, e.Mul(turns, span))
    odd = e.Greater(e.Mod(turns, e.scalar(2), fmod=1), e.scalar(0.5))
    return e.Where(odd, e.Sub(high, rest), e.Add(low, rest))


@rule("RoiAlign")
def roi_align(op: Op) -> Structure:
    """Shared by contribution among the pixels of each region; the regions are gates.

    Linear in the image: one matrix goes along the rows and one along the columns of every region.
    """
    node = op.node
    if op.attribute("mode", "avg") != "avg":
        raise RuleError(f"RoiAlign node {node.name!r}: mode 'max' has no rule")
    if not op.carries(0):
        raise RuleError(f"RoiAlign node {node.name!r}: only its regions depend on an input")

    def forward(e: Ops, x: Value, rows: Value, columns: Value, batch: Value) -> Value:
        own = e.MatMul(e.Gather(x, batch), e.Unsqueeze(columns, ints(1)))
        return e.MatMul(e.Unsqueeze(e.Transpose(rows, perm=[0, 2, 1]), ints(1)), own)

    def adjoint(
        e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value, batch: Value
    ) -> Value:
        rows, columns = e.Unsqueeze(factors[1], ints(1)), e.Transpose(factors[2], perm=[0, 2, 1])
        own = e.MatMul(e.MatMul(rows, g), e.Unsqueeze(columns, ints(1)))
        zeros = e.Expand(e.zero(), shape)
        return e.ScatterND(zeros, e.Unsqueeze(batch, ints(1)), own, reduction="add")

    return Linear(
        forward=forward,
        adjoint=adjoint,
        factors=(0,),
        weights=lambda step: (_roi_matrix(step, op, 2), _roi_matrix(step, op, 3)),
        positive=True,
        steering=(2,),
        reads=(1,),
        held=(1,),
    )


def _roi_matrix(step: Step, op: Op, axis: int) -> Value:
    """float[regions, in, out] along one axis: the operator itself on an identity of width 1."""
    ops, node, rows = step.ops, op.node, axis == 2
    size = ops.Slice(step.shape(0), ints(axis), ints(axis + 1))
    identity = ops.EyeLike(ops.Expand(ops.zero(), ops.Concat(size, size, axis=0)))
    x = ops.Unsqueeze(identity, ints(0, 3) if rows else ints(0, 2))
    width = 1 / float(op.attribute("spatial_scale", 1.0))
    keep, beside = ([0, 1, 0, 1], [0, 0, width, 0]) if rows else ([1, 0, 1, 0], [0, 0, 0, width])
    regions = ops.Add(
        ops.Mul(step.condition(1), np.array(keep, ops.dtype)), np.array(beside, ops.dtype)
    )
    batch = ops.Mul(step.condition(2), np.int64(0))
    single = {"output_width": 1} if rows else {"output_height": 1}
    probe = replace(node, name=f"{node.name}/axis{axis}", attributes={**node.attributes, **single})
    made = ops.rerun(probe, [x, regions, batch])[0]
    return ops.Squeeze(made, ints(3 if rows else 2))


@rule("AffineGrid")
def affine_grid(op: Op) -> Structure:
    """Shared by contribution among the entries of theta.

    The grid is theta times places [x, y, 1]: those that the operator makes of no motion at all.
    """
    shape = op.type(0).shape
    if shape is None or not isinstance(shape[1], int):
        raise RuleError(f"AffineGrid node {op.node.name!r}: the shape of its theta is not known")
    axes = shape[1]
    back = [0, axes + 1, *range(1, axes + 1)]

    def forward(e: Ops, theta: Value, places: Value) -> Value:
        size = e.Slice(e.Shape(places), ints(1), ints(axes + 1))
        flat = e.MatMul(theta, e.Reshape(places, ints(axes + 1, -1)))
        apart = e.Reshape(flat, e.Concat(ints(0, 0), size, axis=0))
        return e.Transpose(apart, perm=[0, *range(2, axes + 2), 1])

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        laid = e.Reshape(e.Transpose(g, perm=back), ints(0, 0, -1))
        places = e.Reshape(factors[1], ints(axes + 1, -1))
        return e.MatMul(laid, e.Transpose(places, perm=[1, 0]))

    def weights(step: Step) -> tuple[Value, ...]:
        ops = step.ops
        still = np.eye(axes, axes + 1, dtype=ops.dtype)[None]
        size = ops.Concat(ints(1), ops.Slice(step.condition(1), ints(1), ints(axes + 2)), axis=0)
        made = ops.rerun(replace(op.node, name=f"{op.node.name}/places"), [still, size])[0]
        places = ops.Transpose(ops.Squeeze(made, ints(0)), perm=[axes, *range(axes)])
        ones = ops.Add(ops.Mul(ops.Slice(places, ints(0), ints(1)), ops.zero()), ops.scalar(1))
        return (ops.Concat(places, ones, axis=0),)

    return Linear(forward=forward, adjoint=adjoint, factors=(0,), weights=weights, reads=(1,))
