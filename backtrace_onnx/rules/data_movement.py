"""Shape and data movement: relevance follows the elements back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.rules.registry import rule, table
from backtrace_onnx.structures.base import Passes, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Adjoint, Joined, Moves, Parted, Reshaped

Ints = npt.NDArray[np.int64]


def reshaped(op: Op) -> Structure:
    """Relevance goes back to the same elements in their former shape."""
    return Reshaped()


table(dict.fromkeys(["Reshape", "Flatten", "Squeeze", "Unsqueeze"], reshaped))


@rule("BitCast")
def bit_cast(op: Op) -> Structure:
    """Relevance passes unchanged."""
    return Passes()


@rule("Transpose")
def transpose(op: Op) -> Structure:
    """Relevance goes back by the inverse permutation."""
    perm = op.attribute("perm")
    back = None if perm is None else tuple(int(i) for i in np.argsort(perm))
    return Adjoint(lambda step, r: step.ops.Transpose(r, perm=back), conserves=True)


@rule("Expand")
def expand(op: Op) -> Structure:
    """An element gets the sum of what its copies received."""
    return Adjoint(lambda step, r: step.ops.unbroadcast(r, step.shape(0)), shapes=(0,))


@rule("Tile")
def tile(op: Op) -> Structure:
    """An element gets the sum of what its copies received."""
    rank = op.type(0).rank
    if rank is None or op.version < 6:
        return Moves((0,), steering=tuple(range(1, len(op.node.inputs))))
    copies = ints(*range(0, 2 * rank, 2))

    def back(step: Step, r: Value) -> Value:
        e = step.ops
        pairs = [e.Unsqueeze(x, ints(1)) for x in (step.condition(1), step.shape(0))]
        apart = e.Reshape(r, e.Reshape(e.Concat(*pairs, axis=1), ints(-1)), allowzero=1)
        return e.ReduceSum(apart, copies, keepdims=0)

    return Adjoint(back, shapes=(0,), values=(1,)) if rank else Passes()


# Cutting and joining --------------------------------------------------------------------------


@rule("Concat")
def concat(op: Op) -> Structure:
    """Relevance is cut apart as the inputs were joined; a constant keeps what lay on it."""
    return Joined(len(op.node.inputs), int(op.attribute("axis", 1)))


@rule("Split")
def split(op: Op) -> Structure:
    """The relevance of the parts is joined again."""
    axis, given = int(op.attribute("axis", 0)), op.attribute("split")
    if given is not None:
        return Parted(axis, lambda step: ints(*given))
    if op.has(1):
        return Parted(axis, lambda step: step.condition(1), values=(1,))
    count = len(op.node.outputs)
    return Parted(axis, lambda step: _even(step.ops, step.shape(0), axis, count))


def _even(e: Ops, shape: Value, axis: int, count: int) -> Value:
    """Sizes of `count` parts, int64[count]; the last is smaller where need be."""
    size = e.Gather(shape, ints(axis))
    part = e.Div(e.Add(size, ints(count - 1)), ints(count))
    most = e.Expand(part, ints(count - 1))
    return e.Concat(most, e.Sub(size, e.Mul(part, ints(count - 1))), axis=0)


@rule("Slice")
def cut(op: Op) -> Structure:
    """Relevance goes back to the place that was cut out; all else gets none."""
    if _steps(op) != {1}:
        return Moves((0,), steering=tuple(range(1, len(op.node.inputs))))

    given = op.attribute("starts")
    fixed = None if given is None else ints(*op.attribute("axes", range(len(given))))

    def back(step: Step, r: Value) -> Value:
        e, shape = step.ops, step.shape(0)
        starts = e.Cast(step.condition(1), to=7) if given is None else ints(*given)
        axes = e.Cast(step.condition(3), to=7) if op.has(3) else fixed
        if axes is None:  # the first ones, as many as there are starts
            axes = e.Range(np.int64(0), e.Squeeze(e.Shape(starts)), np.int64(1))
        return e.place(r, shape, counted(e, starts, e.Gather(shape, axes)), axes)

    return Adjoint(back, shapes=(0,), values=(1, 3))


def _steps(op: Op) -> set[int] | None:
    """The steps of a Slice; None where they are computed."""
    if not op.has(4):
        return {1}
    steps = op.constant(4)
    return None if steps is None else {int(s) for s in steps}


def counted(e: Ops, places: Value, sizes: Value) -> Value:
    """Places along axes of `sizes`, counted from the front (-1 is the last) and kept inside."""
    front = e.Where(e.Less(places, ints(0)), e.Add(places, sizes), places)
    return e.Min(e.Max(front, ints(0)), sizes)


@rule("Pad")
def pad(op: Op) -> Structure:
    """Elements get their relevance back; constant padding keeps its own.

    What lies on padding that repeats elements (reflect, edge, wrap) goes to these.
    """
    if op.attribute("mode", "constant") != "constant":
        numbers = np.float64 if op.version < 11 else np.int64
        return Moves((0,), steering=(1, 3), fill=(2,), dtype=numbers)
    given = op.attribute("pads", op.attribute("paddings"))
    count = len(given) // 2 if given is not None else 0 if op.has(3) else op.rank(0)

    def back(step: Step, r: Value) -> Value:
        e, shape = step.ops, step.shape(0)
        axes = e.Cast(step.condition(3), to=7) if op.has(3) else ints(*range(count))
        pads = step.condition(1) if given is None else ints(*given)
        before, _ = e.split(pads, [e.shape(axes)] * 2, 0)
        end = e.Max(e.Add(before, e.Gather(shape, axes)), ints(0))
        inside = e.Slice(r, e.Max(before, ints(0)), end, axes)
        return e.place(inside, shape, e.Max(e.Neg(before), ints(0)), axes)

    return Adjoint(back, shapes=(0,), values=(1, 3), fills=True, held=(2,))


# Turning ----------------------------------------------------------------------------------------


@rule("Trilu")
def trilu(op: Op) -> Structure:
    """Elements get their relevance back; the triangle that was emptied keeps its own."""
    upper = int(op.attribute("upper", 1))

    def back(step: Step, r: Value) -> Value:
        return step.ops.Trilu(r, *([step.condition(1)] if op.has(1) else []), upper=upper)

    return Adjoint(back, values=(1,), fills=True)


@rule("ReverseSequence")
def reverse_sequence(op: Op) -> Structure:
    """Relevance is reversed again, sequence by sequence."""
    axes = {k: op.attribute(k, v) for k, v in (("batch_axis", 1), ("time_axis", 0))}
    return Adjoint(
        lambda step, r: step.ops.ReverseSequence(r, step.condition(1), **axes), values=(1,)
    )


_TO_SPACE = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}
"""Where the axes [N, C, H, block, W, block] of space come from among those of depth, by mode."""


@rule("DepthToSpace", "SpaceToDepth")
def blocks_of_pixels(op: Op) -> Structure:
    """Relevance follows the elements back to where they came from."""
    block, to_space = op.attribute("blocksize"), _TO_SPACE[op.attribute("mode", "DCR")]
    to_depth = np.argsort(to_space).tolist()
    makes_space = op.node.op_type == "DepthToSpace"

    def back(step: Step, r: Value) -> Value:
        e, side = step.ops, ints(block)
        samples, channels, height, width = (e.Gather(step.shape(0), ints(i)) for i in range(4))
        if makes_space:
            channels = e.Div(channels, ints(block**2))
        else:
            height, width = e.Div(height, side), e.Div(width, side)
        space = (samples, channels, height, side, width, side)
        axes = space if makes_space else [space[i] for i in to_depth]
        apart = e.Reshape(r, e.Concat(*axes, axis=0), allowzero=1)
        turned = e.Transpose(apart, perm=to_depth if makes_space else list(to_space))
        return e.Reshape(turned, step.shape(0), allowzero=1)

    return Adjoint(back, shapes=(0,))


@rule("Col2Im")
def col2im(op: Op) -> Structure:
    """Blocks that overlap at a place share its relevance by contribution."""
    image, block = op.constant(1), op.constant(2)
    if image is None or block is None:
        raise RuleError(f"Col2Im node {op.node.name!r}: image and block shape must be constants")
    rank, places = image.size, int(np.prod(block))
    whole = {"pads": (0,) * 2 * rank, "strides": (1,) * rank, "dilations": (1,) * rank}
    attributes = {name: op.attribute(name, value) for name, value in whole.items()}

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        pick = np.eye(places, dtype=e.dtype).reshape(places, 1, *block)
        planes = e.Reshape(g, e.Concat(ints(-1, 1), image, axis=0))
        return e.Reshape(e.Conv(planes, pick, **attributes), shape)

    return Linear(
        forward=lambda e, x: e.Col2Im(x, image, block, **attributes), adjoint=adjoint, factors=(0,)
    )
