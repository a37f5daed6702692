"""The bias input of linear operators: a constant absorbs its share, data is one more term."""

from __future__ import annotations

from dataclasses import replace

from backtrace_onnx.ops.op import Op
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.sums import Shifted


def biased(op: Op, linear: Linear, shape: tuple[int, ...] = (), scale: float = 1.0) -> Structure:
    """The structure of `linear` with `scale` times input 2 added, where the operator has that.

    A constant becomes the bias, which absorbs its share; data become one more term.

    Args:
        shape: in which the input is broadcast against the output; () as it is.
    """
    if not op.has(2):
        return linear
    bias = op.constant(2)
    if bias is None:
        return Shifted(linear, 2, shape, scale)
    laid = bias.reshape(shape) if shape else bias
    return replace(linear, bias=laid * laid.dtype.type(scale))
