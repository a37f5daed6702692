"""Sums with a bias that onnxruntime's optimisers fuse with what stands after them, for GPUs."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.phrases import total
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints

_WORD = 32  # places that a bitmask holds in one number


@microsoft("BiasAdd")
def bias_add(e: Ops, op: Op, x: Value, bias: Value, skip: Value) -> Value:
    """(x + bias) + skip."""
    return total(e, x, bias, skip)


@microsoft("BiasSoftmax")
def bias_softmax(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """Softmax(x + bias) over all axes from `axis` on, taken as one."""
    scores, axis = e.Add(x, bias), int(op.attribute("axis", 1))
    if axis == -1 or axis == op.rank(0) - 1:
        return e.Softmax(scores, axis=-1)
    flat = e.Reshape(scores, e.Concat(e.Shape(x, end=axis), ints(-1), axis=0))
    return e.Reshape(e.Softmax(flat, axis=-1), e.Shape(x))


@microsoft("BiasDropout", "BitmaskBiasDropout")
def bias_dropout(
    e: Ops, op: Op, x: Value, bias: Value, residual: Value = None, *switches: Value
) -> tuple[Value, Value]:
    """x + bias + residual: nothing is dropped at inference."""
    _refuse_training(op, 4)
    bits = op.node.op_type == "BitmaskBiasDropout"
    kept = _full_bitmask(e, x) if bits else e.Expand(np.bool_(True), e.Shape(x))
    return total(e, x, bias, residual), kept


@microsoft("BitmaskDropout")
def bitmask_dropout(e: Ops, op: Op, x: Value, *switches: Value) -> tuple[Value, Value]:
    """x: nothing is dropped at inference."""
    _refuse_training(op, 2)
    return e.Identity(x), _full_bitmask(e, x)


def _refuse_training(op: Op, at: int) -> None:
    """Raise RuleError unless input `at`, training_mode, is left out or false."""
    training = op.constant(at)
    if op.has(at) and (training is None or training.any()):
        raise RuleError("it drops at random while training; export the model for inference")


def _full_bitmask(e: Ops, x: Value) -> Value:
    """A bit for every element of x, all of them set."""
    words = e.Div(e.Add(e.Size(x), np.int64(_WORD - 1)), np.int64(_WORD))
    return e.Expand(np.uint32(0xFFFFFFFF), e.Reshape(words, ints(1)))
