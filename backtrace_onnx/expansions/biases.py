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
    scores, axis = e.Add(x, bias), op.attribute("axis", 1)
    if axis == -1 or axis == op.rank(0) - 1:
        return e.Softmax(scores, axis=-1)
    flat = e.Reshape(scores, e.Concat(e.Shape(x, end=axis), ints(-1), axis=0))
    return e.Reshape(e.Softmax(flat, axis=-1), e.Shape(x))


@microsoft("BiasDropout", "BitmaskBiasDropout", "BitmaskDropout")
def dropout(e: Ops, op: Op, x: Value, *rest: Value) -> tuple[Value, Value]:
    """x with the bias and the residual that it takes: nothing is dropped at inference."""
    plain = op.node.op_type == "BitmaskDropout"
    at = 2 if plain else 4  # training_mode
    training = op.constant(at)
    if op.has(at) and (training is None or training.any()):
        raise RuleError("it drops at random while training; export the model for inference")
    y = e.Identity(x) if plain else total(e, x, *rest[:2])
    in_bits = "Bitmask" in op.node.op_type
    return y, _full_bitmask(e, x) if in_bits else e.Expand(np.bool_(True), e.Shape(x))


def _full_bitmask(e: Ops, x: Value) -> Value:
    """A bit for every element of x, all of them set."""
    words = e.Div(e.Add(e.Size(x), np.int64(_WORD - 1)), np.int64(_WORD))
    return e.Expand(np.uint32(0xFFFFFFFF), e.Reshape(words, ints(1)))
