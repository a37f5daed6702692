"""Operators on quantised tensors and on integers: the float operator between changes of scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backtrace_onnx.expansions.attention import attended
from backtrace_onnx.expansions.phrases import CONVOLUTION, INT32, Array, named
from backtrace_onnx.expansions.registry import (
    Constant,
    Op,
    Ops,
    RuleError,
    Value,
    expansion,
    ints,
    microsoft,
)


class Scaled:
    """Reads inputs of a node as floats, and writes its output as it is stored.

    Scales of one element are taken for scalars, which is what onnxruntime's kernels do.

    Args:
        at_once: constants are computed now. Where the result is float, onnxruntime would fuse their
            scaling with the product, and round the other operand to 8 bits.
    """

    def __init__(self, e: Ops, op: Op, inputs: tuple[Value, ...], *, at_once: bool = False) -> None:
        self._e, self._op, self._inputs, self._at_once = e, op, inputs, at_once

    def __call__(self, x: int, scale: int = 0, zero: int = 0, axis: int = 1) -> Value:
        """Input `x` as float; `scale` and `zero` point are inputs, too, by default the next two."""
        scale, zero = scale or x + 1, zero or x + 2
        array, factor, offset = (self._op.constant(i) for i in (x, scale, zero))
        if self._at_once and array is not None and factor is not None:
            name = f"{self._op.node.inputs[x]}@float:{axis}"
            return Constant(name, floats(array, factor, offset, axis))
        along = {} if factor is not None and factor.size == 1 else {"axis": axis}
        return self._e.DequantizeLinear(self._inputs[x], *self._scale(scale, zero), **along)

    def stored(self, y: Value, scale: int) -> Value:
        """y in the scale of the output; 8 bits without sign where no zero point is behind it."""
        return self._e.QuantizeLinear(y, *self._scale(scale, scale + 1))

    def _scale(self, scale: int, zero: int) -> list[Value]:
        """A scale and, where there is one, its zero point; constants of one element as scalars."""
        inputs = []
        for i in (scale, zero):
            array = self._op.constant(i)
            if array is not None and array.size == 1 and array.ndim:
                inputs.append(Constant(f"{self._op.node.inputs[i]}@scalar", array.reshape(())))
            elif self._op.has(i):
                inputs.append(self._inputs[i])
        return inputs


def floats(x: Array, scale: Array, zero: Array | None, axis: int) -> Array:
    """(x - zero) * scale; vectors of scales lie along `axis`."""
    wide = x.astype(np.int64) - (0 if zero is None else _along(zero.astype(np.int64), x, axis))
    return np.asarray(wide.astype(scale.dtype) * _along(scale, x, axis))


def _along(vector: Array, x: Array, axis: int) -> Array:
    """Scales or zero points as they are broadcast against x."""
    if vector.size == 1:
        return vector.reshape(())
    return vector if vector.ndim != 1 else vector.reshape(-1, *[1] * (x.ndim - 1 - axis % x.ndim))


# The float operator of the same name ------------------------------------------------------------

_OF_ONE = "AveragePool GlobalAveragePool LeakyRelu ReduceMean Sigmoid Softmax"
_AXES = {**dict.fromkeys(_OF_ONE.split(), (1,)), "Add": (1, 1), "Mul": (1, 1), "MatMul": (-2, -1)}
"""Axes of the scales of every operand; each operand has three inputs, the output's follow."""


@microsoft(*(f"QLinear{name}" for name in _AXES if name != "MatMul"))
@expansion("QLinearMatMul")
def qlinear(e: Ops, op: Op, *inputs: Value) -> Value:
    """The float operator of that name, of the tensors that its inputs stand for."""
    read, name = Scaled(e, op, inputs), op.node.op_type.removeprefix("QLinear")
    operands = [read(3 * i, axis=axis) for i, axis in enumerate(_AXES[name])]
    scale = 3 * len(operands)
    if name == "ReduceMean":
        axes, keeps = ints(*op.attribute("axes")), op.attribute("keepdims")
        return read.stored(e.ReduceMean(*operands, axes, keepdims=keeps), scale)
    if name == "Softmax":
        return read.stored(_softmax(e, op, *operands), scale)
    taken = {k: v for k, v in op.node.attributes.items() if k != "channels_last"}
    first, *rest = operands
    return read.stored(_laid(e, op, first, lambda x: e.op(name, (x, *rest), taken)), scale)


def _laid(e: Ops, op: Op, x: Value, text: Callable[[Value], Value]) -> Value:
    """`text` of x, whose channels may be the last axis."""
    return e.channels_last(op.rank(0), x, text) if op.attribute("channels_last", 0) else text(x)


def _softmax(e: Ops, op: Op, x: Value) -> Value:
    """Softmax as of the opset that the node names: before 13 it flattened from its axis on."""
    axis = op.attribute("axis", -1)
    if op.attribute("opset", 13) >= 13:
        return e.Softmax(x, axis=axis)
    return e.Reshape(e.Softmax(e.Flatten(x, axis=axis), axis=-1), e.Shape(x))


# Of several tensors -----------------------------------------------------------------------------


@microsoft("QLinearConcat")
def qlinear_concat(e: Ops, op: Op, *inputs: Value) -> Value:
    """Concatenation of the tensors it stands for."""
    read = Scaled(e, op, inputs)
    joined = e.Concat(*(read(i) for i in range(2, len(inputs), 3)), axis=op.attribute("axis"))
    return read.stored(joined, 0)


@microsoft("QLinearWhere")
def qlinear_where(e: Ops, op: Op, *inputs: Value) -> Value:
    """One of two of the tensors it stands for."""
    read = Scaled(e, op, inputs)
    return read.stored(e.Where(inputs[0], read(1), read(4)), 7)


@expansion("QLinearConv")
@microsoft("QLinearConv")
def qlinear_conv(e: Ops, op: Op, *inputs: Value) -> Value:
    """Convolution of the tensors it stands for; its bias has the product of their scales."""
    read, steps = Scaled(e, op, inputs), op.attributes(*CONVOLUTION)
    weights = read(3, axis=0), _bias(e, op, inputs, 8, inputs[1])
    return read.stored(_laid(e, op, read(0), lambda x: e.Conv(x, *weights, **steps)), 6)


@microsoft("QGemm")
def qgemm(e: Ops, op: Op, *inputs: Value) -> Value:
    """Gemm of the matrices it stands for; quantised where a scale of the output is given."""
    read, attributes = Scaled(e, op, inputs), op.attributes("alpha", "transA", "transB")
    bias = _bias(e, op, inputs, 6, inputs[1] * e.scalar(op.attribute("alpha", 1.0)))
    weights = read(3, axis=0 if op.attribute("transB", 0) else 1)
    y = e.Gemm(read(0), weights, bias, **attributes)
    return read.stored(y, 7) if op.has(7) else y


def _bias(e: Ops, op: Op, inputs: tuple[Value, ...], i: int, scale: Value) -> Value:
    """Input `i`, an integer bias, as float in the product of both scales; None without one."""
    return e.floats(inputs[i]) * (scale * inputs[4]) if op.has(i) else None


@microsoft("DequantizeLinear")
def dequantize_linear(e: Ops, op: Op, *inputs: Value) -> Value:
    """DequantizeLinear."""
    return Scaled(e, op, inputs)(0, axis=op.attribute("axis", 1))


@microsoft("QuantizeLinear")
def quantize_linear(e: Ops, op: Op, x: Value, scale: Value, zero: Value = None) -> Value:
    """QuantizeLinear."""
    axis = op.attribute("axis", 1)
    return e.QuantizeLinear(x, scale, np.uint8(0) if zero is None else zero, axis=axis)


@microsoft("QAttention")
def qattention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Attention of the tensors it stands for."""
    if op.attribute("do_rotary", 0):
        raise RuleError("rotary positions have no expansion here")
    x = named("x weights bias x_scale weights_scale mask x_zero weights_zero past", inputs)
    read = Scaled(e, op, inputs, at_once=True)
    features = [op.size(1) // 3] * 3
    product = e.MatMul(read(0, 3, 6), read(1, 4, 7, axis=-1)) + x.bias
    projected = list(e.Split(product, ints(*features), axis=-1, outputs=3))
    return attended(e, op, projected, features, mask=x.mask, past=x.past)


@microsoft("DynamicQuantizeLSTM")
def dynamic_quantize_lstm(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LSTM with the weights it stands for; its input is not rounded."""
    weights = []
    for i, scale in ((1, 8), (2, 10)):  # [directions, features, gates], turned
        factor, zero = (op.fixed(at).astype(np.float32) for at in (scale, scale + 1))
        factor, zero = (array.reshape(array.shape[0], 1, -1) for array in (factor, zero))
        real = (e.floats(inputs[i]) - zero) * factor
        weights.append(e.Transpose(real, perm=[0, 2, 1]))
    rest = list(inputs[3:8])
    while rest and rest[-1] is None:
        rest.pop()
    made: tuple[Value, ...] = e.LSTM(inputs[0], *weights, *rest, outputs=3, **op.node.attributes)
    return made


# Integers ---------------------------------------------------------------------------------------


@expansion("MatMulInteger")
def matmul_integer(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of the matrices without their zero points."""
    a, b = _shifted(e, op, inputs, 0, 2, -2), _shifted(e, op, inputs, 1, 3, -1)
    return e.int32(e.MatMul(a, b))


@expansion("ConvInteger")
def conv_integer(e: Ops, op: Op, *inputs: Value) -> Value:
    """Convolution of the tensors without their zero points."""
    x, w = _shifted(e, op, inputs, 0, 2, 1), _shifted(e, op, inputs, 1, 3, 0)
    return e.int32(e.Conv(x, w, **op.attributes(*CONVOLUTION)))


@microsoft("MulInteger")
def mul_integer(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product, element by element, of the tensors without their zero points."""
    a, b = _shifted(e, op, inputs, 0, 1, 0), _shifted(e, op, inputs, 2, 3, 0)
    return e.int32(a * b)


def _shifted(e: Ops, op: Op, inputs: tuple[Value, ...], i: int, zero_at: int, axis: int) -> Value:
    """Input `i` minus its zero point, which is one number or lies along an axis."""
    if not op.has(zero_at):
        return e.floats(inputs[i])
    zero, shape = op.constant(zero_at), op.type(zero_at).shape
    if zero is not None and zero.ndim == 1 and zero.size > 1:
        scale = np.ones(zero.size, e.dtype)
        return e.DequantizeLinear(inputs[i], scale, inputs[zero_at], axis=axis)
    if shape not in ((), (1,)):
        raise RuleError("its zero points are neither constant nor one number")
    one = inputs[zero_at] if shape == () else e.Reshape(inputs[zero_at], ints())
    return e.DequantizeLinear(inputs[i], e.scalar(1), one if zero is None else zero.reshape(()))


@microsoft("ReduceSumInteger")
def reduce_sum_integer(e: Ops, op: Op, x: Value) -> Value:
    """Sum along its axes."""
    axes, keeps = ints(*op.attribute("axes")), op.attribute("keepdims")
    y = e.ReduceSum(e.floats(x), axes, keepdims=keeps)
    return e.Cast(y, to=op.output_type().dtype or INT32)


@microsoft("MatMulInteger16")
def matmul_integer16(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """Product of the matrices."""
    return e.int32(e.MatMul(*(e.floats(x) for x in (a, b))))


@microsoft("MatMulIntegerToFloat")
def matmul_integer_to_float(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of the matrices it stands for, and a bias."""
    read = Scaled(e, op, inputs, at_once=True)
    return e.added(e.MatMul(read(0, 2, 4, axis=-2), read(1, 3, 5, axis=-1)), *inputs[6:7])


@microsoft("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of a rounded matrix and the one it stands for, and a bias."""
    rounded = e.DequantizeLinear(*e.DynamicQuantizeLinear(inputs[0], outputs=3))
    weights = Scaled(e, op, inputs, at_once=True)(1, axis=-1)
    return e.added(e.MatMul(rounded, weights), *inputs[4:5])
