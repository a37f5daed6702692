"""Operators on quantised tensors: the float operator between two changes of scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backtrace_onnx.expansions.attention import attended
from backtrace_onnx.expansions.phrases import (
    CONVOLUTION,
    Array,
    channels_last,
    fixed,
    named,
    picked,
    size_of,
)
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

_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")


class Scaled:
    """Reads inputs of a node as floats, and writes its output as it is stored.

    Scales of one element are taken for scalars, which is what onnxruntime's kernels do.

    Args:
        at_once: constants are computed now. Where the result is float, onnxruntime would fuse their
            scaling with the product, and round the other operand to 8 bits.
    """

    def __init__(self, e: Ops, op: Op, inputs: tuple[Value, ...], *, at_once: bool = False) -> None:
        self._e, self._op, self._inputs, self._at_once = e, op, inputs, at_once

    def __call__(self, x: int, scale: int, zero: int, axis: int = 1) -> Value:
        """Input `x` as float; `scale` and `zero` point are inputs, too."""
        array, factor, offset = (self._op.constant(i) for i in (x, scale, zero))
        if self._at_once and array is not None and factor is not None:
            name = f"{self._op.node.inputs[x]}@float:{axis}"
            return Constant(name, floats(array, factor, offset, axis))
        along = {} if factor is not None and factor.size == 1 else {"axis": axis}
        return self._e.DequantizeLinear(self._inputs[x], *self._scale(scale, zero), **along)

    def stored(self, y: Value, scale: int, zero: int) -> Value:
        """y in the scale of the output; 8 bits without sign where there is no zero point."""
        return self._e.QuantizeLinear(y, *self._scale(scale, zero))

    def _scale(self, scale: int, zero: int) -> list[Value]:
        """A scale and, where there is one, its zero point."""
        offset = self._scalar(zero)
        return [self._scalar(scale), *([] if offset is None else [offset])]

    def _scalar(self, i: int) -> Value:
        """Input `i`, if there is one; a constant of one element as a scalar."""
        if i >= len(self._inputs) or self._inputs[i] is None:
            return None
        array = self._op.constant(i)
        if array is None or array.size != 1 or array.ndim == 0:
            return self._inputs[i]
        return Constant(f"{self._op.node.inputs[i]}@scalar", array.reshape(()))


def floats(x: Array, scale: Array, zero: Array | None, axis: int) -> Array:
    """(x - zero) * scale; vectors of scales lie along `axis`."""
    wide = x.astype(np.int64) - (0 if zero is None else _along(zero.astype(np.int64), x, axis))
    return np.asarray(wide.astype(scale.dtype) * _along(scale, x, axis))


def _along(vector: Array, x: Array, axis: int) -> Array:
    """Scales or zero points as they are broadcast against x."""
    if vector.size == 1:
        return vector.reshape(())
    return vector if vector.ndim != 1 else vector.reshape(-1, *[1] * (x.ndim - 1 - axis % x.ndim))


# Functions of one tensor ------------------------------------------------------------------------


def _register(op_type: str, function: Callable[[Ops, Op, Value], Value]) -> None:
    """Register a quantised function of one input with its scale, zero point and the output's."""

    def text(e: Ops, op: Op, *inputs: Value) -> Value:
        read = Scaled(e, op, inputs)
        return read.stored(function(e, op, read(0, 1, 2)), 3, 4)

    text.__doc__ = f"{op_type.removeprefix('QLinear')} of the tensor it stands for."
    microsoft(op_type)(text)


def _softmax(e: Ops, op: Op, x: Value) -> Value:
    """Softmax as of the opset that the node names: before 13 it flattened from its axis on."""
    axis = op.attribute("axis", -1)
    if op.attribute("opset", 13) >= 13:
        return e.Softmax(x, axis=axis)
    return e.Reshape(e.Softmax(e.Flatten(x, axis=axis), axis=-1), e.Shape(x))


def _average(e: Ops, op: Op, x: Value) -> Value:
    """AveragePool as the node's attributes say."""
    return _laid(e, op, x, lambda first: e.AveragePool(first, **picked(op, *_POOL)))


def _mean(e: Ops, op: Op, x: Value) -> Value:
    """Mean over the axes that the node names."""
    return e.ReduceMean(x, ints(*op.attribute("axes")), keepdims=op.attribute("keepdims"))


def _laid(e: Ops, op: Op, x: Value, text: Callable[[Value], Value]) -> Value:
    """`text` of x, whose channels may be the last axis."""
    return channels_last(e, op.rank(0), x, text) if op.attribute("channels_last", 0) else text(x)


_register("QLinearAveragePool", _average)
_register("QLinearGlobalAveragePool", lambda e, op, x: _laid(e, op, x, e.GlobalAveragePool))
_register("QLinearLeakyRelu", lambda e, op, x: e.LeakyRelu(x, alpha=op.attribute("alpha", 0.01)))
_register("QLinearReduceMean", _mean)
_register("QLinearSigmoid", lambda e, op, x: e.Sigmoid(x))
_register("QLinearSoftmax", _softmax)

# Of several tensors -----------------------------------------------------------------------------


@microsoft("QLinearAdd", "QLinearMul")
def qlinear_binary(e: Ops, op: Op, *inputs: Value) -> Value:
    """Sum or product of the tensors it stands for."""
    read = Scaled(e, op, inputs)
    made = e.op(op.node.op_type.removeprefix("QLinear"), (read(0, 1, 2), read(3, 4, 5)))
    return read.stored(made, 6, 7)


@microsoft("QLinearConcat")
def qlinear_concat(e: Ops, op: Op, *inputs: Value) -> Value:
    """Concatenation of the tensors it stands for."""
    read = Scaled(e, op, inputs)
    parts = [read(i, i + 1, i + 2) for i in range(2, len(inputs), 3)]
    return read.stored(e.Concat(*parts, axis=op.attribute("axis")), 0, 1)


@microsoft("QLinearWhere")
def qlinear_where(e: Ops, op: Op, *inputs: Value) -> Value:
    """One of two of the tensors it stands for."""
    read = Scaled(e, op, inputs)
    return read.stored(e.Where(inputs[0], read(1, 2, 3), read(4, 5, 6)), 7, 8)


@expansion("QLinearMatMul")
def qlinear_matmul(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of the matrices it stands for."""
    read = Scaled(e, op, inputs)
    return read.stored(e.MatMul(read(0, 1, 2, axis=-2), read(3, 4, 5, axis=-1)), 6, 7)


@expansion("QLinearConv")
@microsoft("QLinearConv")
def qlinear_conv(e: Ops, op: Op, *inputs: Value) -> Value:
    """Convolution of the tensors it stands for; its bias has the product of their scales."""
    read = Scaled(e, op, inputs)
    given = [read(3, 4, 5, axis=0)]
    if op.has(8):
        given.append(_bias(e, inputs[8], inputs[1], inputs[4]))
    steps = picked(op, *CONVOLUTION)
    return read.stored(_laid(e, op, read(0, 1, 2), lambda x: e.Conv(x, *given, **steps)), 6, 7)


def _bias(e: Ops, bias: Value, *scales: Value) -> Value:
    """An integer bias as float."""
    return e.Mul(e.Cast(bias, to=e.float_type), e.Mul(*scales))


@microsoft("QGemm")
def qgemm(e: Ops, op: Op, *inputs: Value) -> Value:
    """Gemm of the matrices it stands for; quantised where a scale of the output is given."""
    read = Scaled(e, op, inputs)
    turned, alpha = op.attribute("transB", 0), op.attribute("alpha", 1.0)
    given = [read(0, 1, 2), read(3, 4, 5, axis=0 if turned else 1)]
    if op.has(6):
        given.append(_bias(e, inputs[6], e.Mul(inputs[1], e.scalar(alpha)), inputs[4]))
    y = e.Gemm(*given, alpha=alpha, transA=op.attribute("transA", 0), transB=turned)
    return read.stored(y, 7, 8) if op.has(7) else y


@microsoft("DequantizeLinear")
def dequantize_linear(e: Ops, op: Op, *inputs: Value) -> Value:
    """DequantizeLinear."""
    return Scaled(e, op, inputs)(0, 1, 2, axis=op.attribute("axis", 1))


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
    features = [size_of(op, 1) // 3] * 3
    product = e.Add(e.MatMul(read(0, 3, 6), read(1, 4, 7, axis=-1)), x.bias)
    projected = list(e.Split(product, ints(*features), axis=-1, outputs=3))
    return attended(e, op, projected, features, mask=x.mask, past=x.past)


@microsoft("DynamicQuantizeLSTM")
def dynamic_quantize_lstm(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """LSTM with the weights it stands for; its input is not rounded."""
    x, w, r, *rest = inputs[:8]
    weights = [_turned(e, op, q, i, i + 1) for q, i in ((w, 8), (r, 10))]
    names = ("activation_alpha", "activation_beta", "activations", "clip", "direction")
    attributes = picked(op, *names, "hidden_size", "input_forget")
    while rest and rest[-1] is None:
        rest.pop()
    made: tuple[Value, ...] = e.LSTM(x, *weights, *rest, outputs=3, **attributes)
    return made


def _turned(e: Ops, op: Op, w: Value, scale: int, zero: int) -> Value:
    """Weights [directions, features, gates] as float [directions, gates, features]."""
    factor, offset = (fixed(op, i).astype(np.float32) for i in (scale, zero))
    factor, offset = (array.reshape(array.shape[0], 1, -1) for array in (factor, offset))
    real = e.Mul(e.Sub(e.Cast(w, to=e.float_type), offset), factor)
    return e.Transpose(real, perm=[0, 2, 1])
