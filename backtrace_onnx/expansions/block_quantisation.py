"""Weights quantised in blocks of a few bits: computed once, as the floats they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from backtrace_onnx.backends.texts import write_node
from backtrace_onnx.expansions.phrases import Array, fixed, fixed_or_none, total
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


def middle(scales: Array, bits: int) -> Array:
    """The zero points where none are given: numbers without sign lie around half their range."""
    return np.full(scales.shape, 1 << (bits - 1), np.uint8)


def by_blocks(x: Array, scales: Array, zeros: Array, axis: int, size: int) -> Array:
    """(x - zero) * scale, each for `size` neighbours along `axis`."""
    length = x.shape[axis]
    scale, zero = (np.repeat(a, size, axis).take(range(length), axis) for a in (scales, zeros))
    return np.asarray((x.astype(scale.dtype) - zero.astype(scale.dtype)) * scale)


# Products ---------------------------------------------------------------------------------------


@microsoft("MatMulNBits")
def matmul_nbits(e: Ops, op: Op, x: Value, *rest: Value) -> Value:
    """Product with the weights it stands for, and a bias."""
    packed, scales, zeros = fixed(op, 1), fixed(op, 2), fixed_or_none(op, 3)
    if op.has(4) or op.attribute("weight_prepacked", 0):
        raise RuleError("regrouped or prepacked weights have no expansion")
    bits, size = op.attribute("bits", 4), op.attribute("block_size")
    shape = op.attribute("N"), op.attribute("K")
    weight = _weights(packed, scales, zeros, bits, size, shape)
    return total(e, e.MatMul(x, Constant(f"{op.node.name}/weight", weight)), *rest[4:5])


def _weights(
    packed: Array, scales: Array, zeros: Array | None, bits: int, size: int, shape: tuple[int, int]
) -> Array:
    """Weights [features, made] of blocks of `size` along the features; all 0 where none are given.

    Args:
        shape: what is made of how many features.
    """
    made, features = shape
    if not packed.size:
        return np.zeros((features, made), scales.dtype)
    values = unpacked(packed.reshape(made, -1, packed.shape[-1]), bits).reshape(made, -1)
    scales = scales.reshape(made, values.shape[1] // size)
    if zeros is None:
        zeros = middle(scales, bits)
    elif zeros.dtype == np.uint8:
        zeros = unpacked(zeros.reshape(made, -1), bits)[:, : scales.shape[1]]
    weights = by_blocks(values, scales, zeros.reshape(scales.shape), 1, size)
    return np.ascontiguousarray(weights[:, :features].T)


@microsoft("MatMulNBitsQLoRA")
def matmul_nbits_with_adapter(e: Ops, op: Op, x: Value, *_: Value) -> Value:
    """Product with the weights it stands for, plus that with the two thin ones of its adapter."""
    packed, scales, a, a_scales, b, b_scales = (fixed(op, i) for i in range(1, 7))
    features, made = op.attribute("K"), op.attribute("N")
    bits, size = op.attribute("bits", 4), op.attribute("block_size", 32)
    of_adapter = op.attribute("lora_bits", 8), op.attribute("lora_block_size", 32)

    def times(x: Value, name: str, *weights: Any) -> Value:
        return e.MatMul(x, Constant(f"{op.node.name}/{name}", _weights(*weights)))

    base = times(x, "weight", packed, scales, None, bits, size, (made, features))
    if not b.size or not a.size:
        return base
    down = times(x, "down", a, a_scales, None, *of_adapter, (a.shape[0], features))
    return e.Add(base, times(down, "up", b, b_scales, None, *of_adapter, (made, a.shape[0])))


@microsoft("GatherBlockQuantized")
def gather_block_quantized(
    e: Ops, op: Op, table: Value, indices: Value, scales: Value, zeros: Value = None
) -> Value:
    """Rows of the table it stands for."""
    data, scale, zero = fixed(op, 0), fixed(op, 2), fixed_or_none(op, 3)
    bits, axis = op.attribute("bits", 4), op.attribute("gather_axis", 0)
    size, along = op.attribute("block_size", 128), op.attribute("quantize_axis", 1)
    if data.dtype == np.uint8:
        data = unpacked(data, bits)
        zero = middle(scale, bits) if zero is None else unpacked(zero, bits)
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
    weights = [fixed(op, i) for i in range(1, len(op.node.inputs))]
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
