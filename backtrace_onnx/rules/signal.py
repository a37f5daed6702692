"""Fourier transforms: linear, with the matrix that the operator makes of an identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.ops.windows import Window
from backtrace_onnx.rules.convolution import conv_adjoint
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Step, Structure
from backtrace_onnx.structures.linear import Linear


@rule("DFT")
def dft(op: Op) -> Structure:
    """Shared by contribution among the samples of the signal."""
    rank, axis = op.rank(0), _dft_axis(op)
    rest = [a for a in range(rank) if a not in (axis, rank - 1)]
    perm = [*rest, axis, rank - 1]
    back = [int(a) for a in np.argsort(perm)]
    outer = ints(*[0] * len(rest))
    real = bool(op.attribute("inverse", 0) and op.attribute("onesided", 0))
    parts = 1 if real else 2

    def forward(e: Ops, x: Value, matrix: Value) -> Value:
        laid = e.Reshape(e.Transpose(x, perm=perm), e.Concat(outer, ints(-1), axis=0))
        made = e.Reshape(e.MatMul(laid, matrix), e.Concat(outer, ints(-1, parts), axis=0))
        return e.Transpose(made, perm=back)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        laid = e.Reshape(e.Transpose(g, perm=perm), e.Concat(outer, ints(-1), axis=0))
        made = e.MatMul(laid, e.Transpose(factors[1], perm=[1, 0]))
        size = e.Gather(shape, ints(axis, rank - 1))
        apart = e.Reshape(made, e.Concat(outer, size, axis=0))
        return e.Transpose(apart, perm=back)

    def weights(step: Step) -> tuple[Value, ...]:
        ops = step.ops
        size = ops.Gather(step.shape(0), ints(axis, rank - 1))
        count = ops.ReduceProd(size, keepdims=1)
        identity = ops.EyeLike(ops.Expand(ops.zero(), ops.Concat(count, count, axis=0)))
        inputs = [ops.Reshape(identity, ops.Concat(count, size, axis=0))]
        if op.has(1):
            inputs.append(step.condition(1))
        made = ops.rerun(_along_one(op), inputs)[0]
        return (ops.Reshape(made, ops.Concat(count, ints(-1), axis=0)),)

    return Linear(
        forward=forward,
        adjoint=adjoint,
        factors=(0,),
        weights=weights,
        reads=(1,) if op.has(1) else (),
    )


def _dft_axis(op: Op) -> int:
    """The transformed axis. Raises RuleError where the model computes it."""
    given = op.constant(2)
    if op.has(2) and given is None:
        raise RuleError(f"DFT node {op.node.name!r}: its axis is computed while the model runs")
    default = 1 if op.version < 20 else -2
    axis = op.attribute("axis", default) if given is None else given.reshape(-1)[0]
    return int(axis) % op.rank(0)


def _along_one(op: Op) -> Node:
    """The transform along axis 1 of three, which is the default axis of every version."""
    kept = {k: v for k, v in op.node.attributes.items() if k != "axis"}
    return replace(
        op.node, name=f"{op.node.name}/matrix", inputs=op.node.inputs[:2], attributes=kept
    )


@rule("STFT")
def stft(op: Op) -> Structure:
    """Shared by contribution among the samples of each frame.

    A convolution: its kernel is what the operator makes of single impulses.
    """
    stride, length = _frames(op)
    window = Window(op, (length,), (stride,))

    def forward(e: Ops, x: Value, kernel: Value) -> Value:
        made = e.Conv(e.Transpose(x, perm=[0, 2, 1]), kernel, **window.steps)
        laid = e.Transpose(made, perm=[0, 2, 1])
        return e.Reshape(laid, e.Concat(ints(0, 0, -1, 2), axis=0))

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        laid = e.Transpose(e.Reshape(g, ints(0, 0, -1)), perm=[0, 2, 1])
        turned = e.Gather(shape, ints(0, 2, 1))
        return e.Transpose(conv_adjoint(e, laid, factors[1], turned, window), perm=[0, 2, 1])

    def weights(step: Step) -> tuple[Value, ...]:
        ops = step.ops
        identity = np.eye(length, dtype=ops.dtype)[:, :, None]
        inputs = [identity, *(step.condition(i) if op.has(i) else None for i in range(1, 4))]
        probe = replace(op.node, name=f"{op.node.name}/kernel")
        made = ops.rerun(probe, inputs[: len(op.node.inputs)])[0]
        flat = ops.Reshape(made, ints(length, -1))
        return (ops.Unsqueeze(ops.Transpose(flat, perm=[1, 0]), ints(1)),)

    reads = tuple(i for i in range(1, 4) if op.has(i))
    return Linear(forward=forward, adjoint=adjoint, factors=(0,), weights=weights, reads=reads)


def _frames(op: Op) -> tuple[int, int]:
    """(step, length) of the frames. Raises RuleError where they are not known, or x is complex."""
    name = f"STFT node {op.node.name!r}"
    shape, step, taper, length = op.type(0).shape, *(op.constant(i) for i in (1, 2, 3))
    if shape is None or shape[-1] != 1:
        raise RuleError(f"{name}: a complex signal has no rule")
    if length is not None:
        size = int(length.reshape(-1)[0])
    elif taper is not None:
        size = taper.size
    else:
        raise RuleError(f"{name}: the length of its frames is computed while the model runs")
    if step is None:
        raise RuleError(f"{name}: the step of its frames is computed while the model runs")
    return int(step.reshape(-1)[0]), size
