"""8-bit operators of transformers quantised for GPUs, their matrices stored row by row.

Weights are stored column by column, under the shape they have row by row.
"""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.attention import attended
from backtrace_onnx.expansions.phrases import named
from backtrace_onnx.expansions.registry import Constant, Op, Ops, RuleError, Value, microsoft

_COLUMNS, _ROWS = 0, 1  # values of the attributes `order_...`


@microsoft("QOrderedMatMul")
def qordered_matmul(e: Ops, op: Op, *inputs: Value) -> Value:
    """Product of the matrices it stands for, a bias, and a sum with C."""
    x = named("a a_scale weight weight_scale scale bias c c_scale", inputs)
    _refuse_tiles(op)
    product = e.MatMul(_real(e, x.a, x.a_scale), _weight(e, op, 2, 3)[0])
    c = None if x.c is None else _real(e, x.c, x.c_scale)
    return _stored(e, e.added(product, x.bias, c), x.scale)


@microsoft("QOrderedGelu", opset=20)
def qordered_gelu(e: Ops, op: Op, x: Value, scale_x: Value, scale_y: Value) -> Value:
    """Gelu of the tensor it stands for."""
    _refuse_tiles(op)
    return _stored(e, e.Gelu(_real(e, x, scale_x)), scale_y)


@microsoft("QOrderedLayerNormalization")
def qordered_layer_normalization(
    e: Ops, op: Op, x: Value, scale_x: Value, gamma: Value, beta: Value, scale_y: Value
) -> Value:
    """LayerNormalization of the tensor it stands for."""
    _refuse_tiles(op)
    scales = [e.floats(v) for v in (gamma, beta) if v is not None]
    axis, epsilon = op.attribute("axis", -1), op.attribute("epsilon", 1e-5)
    y = e.LayerNormalization(_real(e, x, scale_x), *scales, axis=axis, epsilon=epsilon)
    return _stored(e, y, scale_y)


@microsoft("QOrderedAttention")
def qordered_attention(e: Ops, op: Op, *inputs: Value) -> Value:
    """Attention of the tensors it stands for; scores and their softmax are not rounded."""
    mask, past, added = (*inputs, *[None] * 3)[17:20]
    _refuse_tiles(op)
    if past is not None:
        raise RuleError("a cache has no expansion here; onnxruntime does not read it either")
    x, projected, features = _real(e, inputs[0], inputs[1]), [], []
    for i in range(3):
        weight, columns = _weight(e, op, 5 + i, 8 + i)
        made = _stored(e, e.MatMul(x, weight) + inputs[11 + i], inputs[2 + i])
        projected.append(_real(e, made, inputs[2 + i]))
        features.append(columns)
    y = attended(e, op, projected, features, mask=mask, added=added)[0]
    return _stored(e, y, inputs[16])


def _refuse_tiles(op: Op) -> None:
    """Raise RuleError where a matrix lies otherwise than row by row, a weight column by column."""
    for name, order in op.node.attributes.items():
        wanted = _COLUMNS if name in ("order_B", "order_weight") else _ROWS
        if name.startswith("order_") and order != wanted:
            raise RuleError(f"{name} {order} lays it out in tiles for one kind of GPU")


def _real(e: Ops, x: Value, scale: Value) -> Value:
    """A stored tensor as float."""
    # Without its zero point onnxruntime's optimiser would take what it writes for unsigned.
    return e.DequantizeLinear(x, scale, np.int8(0))


def _stored(e: Ops, y: Value, scale: Value) -> Value:
    """A float tensor as it is stored."""
    return e.QuantizeLinear(y, scale, np.int8(0))


def _weight(e: Ops, op: Op, i: int, scale: int) -> tuple[Value, int]:
    """The matrix that input `i` stands for, and its number of columns; each may have its scale."""
    stored, scales = op.fixed(i), op.fixed(scale)
    matrix = np.ascontiguousarray(stored.reshape(stored.shape[::-1]).T)
    laid = Constant(f"{op.node.inputs[i]}@rows", matrix)
    factor = scales.reshape(()) if scales.size == 1 else scales
    return e.DequantizeLinear(laid, factor, axis=1), matrix.shape[1]
