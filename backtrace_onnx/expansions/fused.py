"""Products and convolutions that onnxruntime's optimisers fuse with what stands around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion

MICROSOFT = "com.microsoft"
_CONVOLUTION = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


@expansion("FusedMatMul", "TransposeMatMul", domain=MICROSOFT)
def fused_matmul(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """alpha * op(a) op(b), op being transpositions."""
    product = e.MatMul(_turned(e, op, a, 0, "A"), _turned(e, op, b, 1, "B"))
    alpha = float(op.attribute("alpha", 1.0))
    return product if alpha == 1 else e.Mul(product, e.scalar(alpha))


@expansion("FusedMatMulActivation", domain=MICROSOFT)
def fused_matmul_activation(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """alpha * op(a) op(b), op being transpositions, and an activation."""
    return _activated(e, op, fused_matmul(e, op, a, b), _given_by_name(op))


@expansion("GemmFastGelu", domain=MICROSOFT, opset=20)
def gemm_fast_gelu(e: Ops, op: Op, x: Value, w: Value, bias: Value = None) -> Value:
    """Gelu(x w + bias) by its tanh approximation."""
    made = e.MatMul(x, w)
    return e.Gelu(made if bias is None else e.Add(made, bias), approximate="tanh")


def _turned(e: Ops, op: Op, x: Value, i: int, letter: str) -> Value:
    """x with its first axis behind the batch axes, then with its last two swapped, as asked."""
    batch, last = (op.attribute(f"{kind}{letter}", 0) for kind in ("transBatch", "trans"))
    rank = op.rank(i) if batch or last else 0
    if rank < 2:
        return x
    perm = [*range(1, rank - 1), 0, rank - 1] if batch else [*range(rank)]
    if last:
        perm = [*perm[:-2], perm[-1], perm[-2]]
    return e.Transpose(x, perm=perm)


@expansion("FusedGemm", domain=MICROSOFT)
def fused_gemm(e: Ops, op: Op, a: Value, b: Value, c: Value = None) -> Value:
    """Gemm and an activation."""
    names = ("alpha", "beta", "transA", "transB")
    attributes = {name: op.attribute(name) for name in names}
    return _activated(e, op, e.Gemm(*_given(a, b, c), **attributes), _given_by_name(op))


def _given_by_name(op: Op) -> dict[str, Any]:
    """What the node says of its activation, an attribute each."""
    return {name: op.attribute(f"activation_{name}") for name in ("alpha", "beta", "gamma", "axis")}


@expansion("FusedConv", domain=MICROSOFT)
def fused_conv(e: Ops, op: Op, x: Value, w: Value, b: Value = None, z: Value = None) -> Value:
    """Convolution, a sum with z and an activation."""
    return _finished(e, op, _convolved(e, op, x, w, b), z)


@expansion("NhwcConv", domain=MICROSOFT)
def nhwc_conv(e: Ops, op: Op, x: Value, w: Value, b: Value = None) -> Value:
    """Convolution with the channels last, of x and of the weights."""
    rank = op.rank(1)
    laid = e.Transpose(w, perm=[0, rank - 1, *range(1, rank - 1)])
    return channels_last(e, rank, x, lambda first: _convolved(e, op, first, laid, b))


@expansion("NhwcFusedConv", domain=MICROSOFT)
def nhwc_fused_conv(e: Ops, op: Op, x: Value, w: Value, b: Value = None, z: Value = None) -> Value:
    """Convolution with the channels of x last, a sum with z and an activation."""
    made = channels_last(e, op.rank(1), x, lambda first: _convolved(e, op, first, w, b))
    return _finished(e, op, made, z)


def _convolved(e: Ops, op: Op, x: Value, w: Value, b: Value) -> Value:
    return e.Conv(*_given(x, w, b), **{name: op.attribute(name) for name in _CONVOLUTION})


def _finished(e: Ops, op: Op, made: Value, z: Value) -> Value:
    """The activation of made + z."""
    if z is not None:
        made = e.Add(made, z)
    names = ("min", "max") if op.attribute("activation") == "Clip" else ("alpha", "beta")
    given = dict(zip(names, op.attribute("activation_params", ()), strict=False))
    return _activated(e, op, made, given)


def _given(*inputs: Value) -> list[Value]:
    """Inputs without those left out at the end."""
    return [x for x in inputs if x is not None]


def _activated(e: Ops, op: Op, x: Value, given: Mapping[str, float | None]) -> Value:
    """The activation named by the node, applied to x."""
    name = op.attribute("activation", "")
    if not name:
        return x
    if name == "Clip":
        low, high = (given.get(key) for key in ("min", "max"))
        return e.Clip(x, *(None if v is None else e.scalar(v) for v in (low, high)))
    taken = _ACTIVATIONS.get(name)
    if taken is None:
        raise RuleError(f"its activation {name!r} has no expansion")
    attributes: dict[str, Any] = {key: given.get(key) for key in taken}
    return e.op(name, (x,), attributes)


_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "LogSoftmax": ("axis",),
    "Relu": (),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softmax": ("axis",),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}


@expansion("ConvTransposeWithDynamicPads", domain=MICROSOFT)
def conv_transpose(
    e: Ops, op: Op, x: Value, w: Value, pads: Value = None, b: Value = None
) -> Value:
    """ConvTranspose; its pads must be a constant."""
    fixed = op.constant(2)
    if fixed is None and op.has(2):
        raise RuleError("its pads are computed while the model runs")
    names = (*_CONVOLUTION[:-2], "output_padding", "strides")
    attributes = {name: op.attribute(name) for name in names}
    if fixed is not None:
        attributes["pads"] = tuple(int(n) for n in fixed.reshape(-1))
    return e.ConvTranspose(*_given(x, w, b), **attributes)


@expansion("NhwcMaxPool", domain=MICROSOFT)
def nhwc_max_pool(e: Ops, op: Op, x: Value) -> Value:
    """MaxPool with the channels last."""
    attributes = {k: v for k, v in op.node.attributes.items() if k != "channels_last"}
    return channels_last(e, op.rank(0), x, lambda first: e.MaxPool(first, **attributes))


def channels_last(e: Ops, rank: int, x: Value, text: Any) -> Value:
    """`text` of x with its channels moved from the last axis to axis 1, and back."""
    first = e.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)])
    return e.Transpose(text(first), perm=[0, *range(2, rank), 1])
