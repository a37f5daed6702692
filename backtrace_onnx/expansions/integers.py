"""Products and sums of integers, with the scales that make them floats."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.phrases import CONVOLUTION, INT32, picked, total
from backtrace_onnx.expansions.quantised import Scaled
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints, microsoft


@expansion("MatMulInteger")
def matmul_integer(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of the matrices without their zero points."""
    a, b = _shifted(e, op, inputs, 0, -2), _shifted(e, op, inputs, 1, -1)
    return e.Cast(e.MatMul(a, b), to=INT32)


@expansion("ConvInteger")
def conv_integer(e: Ops, op: Op, *inputs: Value) -> Value:
    """Convolution of the tensors without their zero points."""
    x, w = _shifted(e, op, inputs, 0, 1), _shifted(e, op, inputs, 1, 0)
    return e.Cast(e.Conv(x, w, **picked(op, *CONVOLUTION)), to=INT32)


def _shifted(e: Ops, op: Op, inputs: tuple[Value, ...], i: int, axis: int) -> Value:
    """Input `i` minus its zero point, which is two inputs further."""
    at = i + 2
    if not op.has(at):
        return e.Cast(inputs[i], to=e.float_type)
    zero = op.constant(at)
    if op.type(at).rank == 0:
        return e.DequantizeLinear(inputs[i], e.scalar(1), inputs[at])
    if zero is not None and zero.size == 1:
        return e.DequantizeLinear(inputs[i], e.scalar(1), zero.reshape(()))
    if zero is None or zero.ndim != 1:
        raise RuleError("its zero points are neither constant nor one number")
    return e.DequantizeLinear(inputs[i], np.ones(zero.size, e.dtype), inputs[at], axis=axis)


@microsoft("MulInteger")
def mul_integer(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product, element by element, of the tensors without their zero points."""
    a, b = (
        e.DequantizeLinear(inputs[i], e.scalar(1), e.Reshape(inputs[i + 1], ints()))
        if op.has(i + 1)
        else e.Cast(inputs[i], to=e.float_type)
        for i in (0, 2)
    )
    return e.Cast(e.Mul(a, b), to=INT32)


@microsoft("ReduceSumInteger")
def reduce_sum_integer(e: Ops, op: Op, x: Value) -> Value:
    """Sum along its axes."""
    axes, keeps = ints(*op.attribute("axes")), op.attribute("keepdims")
    y = e.ReduceSum(e.Cast(x, to=e.float_type), axes, keepdims=keeps)
    return e.Cast(y, to=op.output_type().dtype or INT32)


@microsoft("MatMulInteger16")
def matmul_integer16(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """Product of the matrices."""
    return e.Cast(e.MatMul(*(e.Cast(x, to=e.float_type) for x in (a, b))), to=INT32)


@microsoft("MatMulIntegerToFloat")
def matmul_integer_to_float(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of the matrices it stands for, and a bias."""
    read = Scaled(e, op, inputs, at_once=True)
    return total(e, e.MatMul(read(0, 2, 4, axis=-2), read(1, 3, 5, axis=-1)), *inputs[6:7])


@microsoft("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of a rounded matrix and the one it stands for, and a bias."""
    rounded = e.DequantizeLinear(*e.DynamicQuantizeLinear(inputs[0], outputs=3))
    weights = Scaled(e, op, inputs, at_once=True)(1, 2, 3, axis=-1)
    return total(e, e.MatMul(rounded, weights), *inputs[4:5])
