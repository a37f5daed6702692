"""Weights quantised in blocks of a few bits: computed once, as the floats they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from backtrace_onnx.backends.texts import write_node
from backtrace_onnx.expansions.phrases import Array
from backtrace_onnx.expansions.registry import Constant, Op, Ops, RuleError, Value, microsoft
from backtrace_onnx.model.sessions import make_session

# Numbers in bytes -------------------------------------------------------------------------------


def unpacked(x: Array, bits: int) -> Array:
    """Numbers without sign that lie in bytes along the last axis, the lowest bits first."""
    if bits == 8:
        return x
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (x[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.asarray(numbers.reshape(*x.shape[:-1], -1))


def by_blocks(x: Array, scales: Array, zeros: Array, axis: int, size: int) -> Array:
    """(x - zero) * scale, each for `size` neighbours along `axis`."""
    length = x.shape[axis]
    scale, zero = (np.repeat(a, size, axis).take(range(length), axis) for a in (scales, zeros))
    return np.asarray((x.astype(scale.dtype) - zero.astype(scale.dtype)) * scale)


def real_weights(packed: Array, scales: Array, zeros: Array | None, bits: int, size: int) -> Array:
    """Weights [..., features] of bytes [..., bytes], in blocks of `size` along the features.

    Args:
        size: 0 where all features of a row are one block.
        zeros: in bytes as the weights are, or numbers; without any, half the range.
    """
    values = unpacked(packed, bits)
    scales = scales.reshape(*values.shape[:-1], -1)
    if zeros is None:
        zeros = _middle(scales, bits)
    elif zeros.dtype == np.uint8:
        rows = unpacked(zeros.reshape(*values.shape[:-1], -1), bits)
        zeros = rows[..., : scales.shape[-1]]
    return by_blocks(values, scales, zeros.reshape(scales.shape), -1, size or values.shape[-1])


def _middle(scales: Array, bits: int) -> Array:
    """The zero points where none are given: numbers without sign lie around half their range."""
    return np.full(scales.shape, 1 << (bits - 1), np.uint8)


# Products ---------------------------------------------------------------------------------------


@microsoft("MatMulNBits")
def matmul_nbits(e: Ops, op: Op, x: Value, *rest: Value) -> Value:
    """Product with the weights it stands for, and a bias."""
    if op.has(4) or op.attribute("weight_prepacked", 0):
        raise RuleError("regrouped or prepacked weights have no expansion")
    shape, size = (op.attribute("N"), op.attribute("K")), op.attribute("block_size")
    stored = op.fixed(1), op.fixed(2), op.fixed_or_none(3)
    weight = _matrix(*stored, op.attribute("bits", 4), size, shape)
    return e.added(e.MatMul(x, Constant(f"{op.node.name}/weight", weight)), *rest[4:5])


def _matrix(
    packed: Array, scales: Array, zeros: Array | None, bits: int, size: int, shape: tuple[int, int]
) -> Array:
    """Weights [features, made] of (made, features); all 0 where none are given."""
    made, features = shape
    if not packed.size:
        return np.zeros((features, made), scales.dtype)
    weights = real_weights(packed.reshape(made, -1), scales, zeros, bits, size)
    return np.ascontiguousarray(weights[:, :features].T)


@microsoft("MatMulNBitsQLoRA")
def matmul_nbits_with_adapter(e: Ops, op: Op, x: Value, *_: Value) -> Value:
    """Product with the weights it stands for, plus that with the two thin ones of its adapter."""
    packed, scales, a, a_scales, b, b_scales = (op.fixed(i) for i in range(1, 7))
    features, made = op.attribute("K"), op.attribute("N")
    base = op.attribute("bits", 4), op.attribute("block_size", 32)
    thin = op.attribute("lora_bits", 8), op.attribute("lora_block_size", 32)

    def times(x: Value, name: str, *weights: Any) -> Value:
        return e.MatMul(x, Constant(f"{op.node.name}/{name}", _matrix(*weights)))

    y = times(x, "weight", packed, scales, None, *base, (made, features))
    if not b.size or not a.size:
        return y
    down = times(x, "down", a, a_scales, None, *thin, (a.shape[0], features))
    return y + times(down, "up", b, b_scales, None, *thin, (made, a.shape[0]))


@microsoft("GatherBlockQuantized")
def gather_block_quantized(
    e: Ops, op: Op, table: Value, indices: Value, scales: Value, zeros: Value = None
) -> Value:
    """Rows of the table it stands for."""
    data, scale, zero = op.fixed(0), op.fixed(2), op.fixed_or_none(3)
    bits, axis = op.attribute("bits", 4), op.attribute("gather_axis", 0)
    size, along = op.attribute("block_size", 128), op.attribute("quantize_axis", 1)
    if data.dtype == np.uint8:
        data = unpacked(data, bits)
        zero = _middle(scale, bits) if zero is None else unpacked(zero, bits)
    elif data.dtype.kind == "f" or not size:
        raise RuleError("tables of small floats have no expansion")
    elif zero is None:
        zero = np.zeros(scale.shape, np.int8)
    zero = zero[tuple(slice(n) for n in scale.shape)]
    real = by_blocks(data, scale, zero, along % data.ndim, size)
    return e.Gather(Constant(f"{op.node.name}/table", real), indices, axis=axis)


@microsoft("MatMulBnb4", "MatMulFpQ4")
def matmul_packed(e: Ops, op: Op, x: Value, *rest: Value) -> Value:
    """Product with the weights it stands for, which onnxruntime unpacks."""
    weights = [op.fixed(i) for i in range(1, len(op.node.inputs))]
    of_shape = op.node.op_type == "MatMulFpQ4"
    features = int(weights[1].reshape(-1)[0] if of_shape else op.attribute("K", 0))
    unit = np.eye(features, dtype=np.float32)
    return e.MatMul(x, Constant(f"{op.node.name}/weight", _answer(op, unit, *weights)))


def _answer(op: Op, *inputs: Array) -> Array:
    """What onnxruntime makes of the operator's inputs."""
    feeds = {f"x{i}": array for i, array in enumerate(inputs)}
    proto, _ = write_node(op.node, feeds, op.graph.opsets)
    made: Array = make_session(proto, threads=1).run(None, feeds)[0]
    return made
