"""Products and convolutions that onnxruntime's optimisers fuse with what stands around them."""

from __future__ import annotations

from collections.abc import Mapping

from backtrace_onnx.expansions.phrases import CONVOLUTION
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, ints, microsoft

_SLICED = ("input_channel_offset", "input_channels", "state_length", "state_update_capacity")
"""Attributes of the causal convolution that only a GPU's kernel reads."""

# Products ---------------------------------------------------------------------------------------


@microsoft("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation")
def fused_matmul(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """alpha * op(a) op(b), op being transpositions, and perhaps an activation."""
    product = e.MatMul(_turned(e, op, a, 0, "A"), _turned(e, op, b, 1, "B"))
    return _activated(e, op, e.times(product, op.attribute("alpha", 1.0)), _given_by_name(op))


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


@microsoft("FusedGemm")
def fused_gemm(e: Ops, op: Op, a: Value, b: Value, c: Value = None) -> Value:
    """Gemm and an activation."""
    made = e.Gemm(a, b, c, **op.attributes("alpha", "beta", "transA", "transB"))
    return _activated(e, op, made, _given_by_name(op))


# Convolutions -----------------------------------------------------------------------------------


@microsoft("FusedConv", "NhwcFusedConv")
def fused_conv(e: Ops, op: Op, x: Value, w: Value, b: Value = None, z: Value = None) -> Value:
    """Convolution, a sum with z and an activation; the channels of x may be last."""

    def convolved(first: Value) -> Value:
        return e.Conv(first, w, b, **op.attributes(*CONVOLUTION))

    last = op.node.op_type == "NhwcFusedConv"
    made = e.added(e.channels_last(op.rank(1), x, convolved) if last else convolved(x), z)
    names = ("min", "max") if op.attribute("activation") == "Clip" else ("alpha", "beta")
    values = dict(zip(names, op.attribute("activation_params", ()), strict=False))
    return _activated(e, op, made, values)


@microsoft("NhwcConv")
def nhwc_conv(e: Ops, op: Op, x: Value, w: Value, b: Value = None) -> Value:
    """Convolution with the channels last, of x and of the weights."""
    rank = op.rank(1)
    laid = e.Transpose(w, perm=[0, rank - 1, *range(1, rank - 1)])
    steps = op.attributes(*CONVOLUTION)
    return e.channels_last(rank, x, lambda first: e.Conv(first, laid, b, **steps))


@microsoft("ConvTransposeWithDynamicPads")
def conv_transpose(
    e: Ops, op: Op, x: Value, w: Value, pads: Value = None, b: Value = None
) -> Value:
    """ConvTranspose; its pads must be a constant."""
    edges = op.fixed_or_none(2)
    steps = op.attributes(*CONVOLUTION, "output_padding")
    steps["pads"] = None if edges is None else tuple(int(n) for n in edges.reshape(-1))
    return e.ConvTranspose(x, w, b, **steps)


@microsoft("NhwcMaxPool")
def nhwc_max_pool(e: Ops, op: Op, x: Value) -> Value:
    """MaxPool with the channels last."""
    attributes = {k: v for k, v in op.node.attributes.items() if k != "channels_last"}
    return e.channels_last(op.rank(0), x, lambda first: e.MaxPool(first, **attributes))


@microsoft("CausalConvWithState")
def causal_convolution(
    e: Ops, op: Op, x: Value, weight: Value, bias: Value = None, past: Value = None
) -> tuple[Value, ...]:
    """Convolution of every channel with its earlier values, the oldest of which are given."""
    for name in ("state_window", "channels_last", *_SLICED):
        if op.attribute(name, 0):
            raise RuleError(f"{name.replace('_', ' ')} has no expansion")
    if op.attribute("ndim", 1) != 1:
        raise RuleError("only one axis has an expansion")
    dilation = op.attribute("dilation", 1)
    reach = (op.size(1, 2) - 1) * dilation  # earlier values that the first output reads
    whole = e.Pad(x, ints(0, 0, reach, 0, 0, 0)) if past is None else e.Concat(past, x, axis=2)
    made = e.Conv(whole, weight, bias, group=op.size(1, 0), dilations=[dilation])
    if op.attribute("activation", "none") in ("silu", "swish"):
        made = e.swish(made)
    size = e.Shape(whole, start=2)
    return made, e.Slice(whole, size - ints(reach), size, ints(2))


# Activations ------------------------------------------------------------------------------------


def _given_by_name(op: Op) -> dict[str, float | None]:
    """What the node says of its activation, an attribute each."""
    return {name: op.attribute(f"activation_{name}") for name in ("alpha", "beta", "gamma", "axis")}


def _activated(e: Ops, op: Op, x: Value, values: Mapping[str, float | None]) -> Value:
    """The activation named by the node, if any, applied to x."""
    name = op.attribute("activation", "")
    if not name:
        return x
    if name == "Clip":
        low, high = (values.get(key) for key in ("min", "max"))
        return e.Clip(x, *(None if v is None else e.scalar(v) for v in (low, high)))
    taken = _ACTIVATIONS.get(name)
    if taken is None:
        raise RuleError(f"its activation {name!r} has no expansion")
    return e.op(name, (x,), {key: values.get(key) for key in taken})


_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"), ()),
    **dict.fromkeys(("Elu", "LeakyRelu", "ThresholdedRelu"), ("alpha",)),
    **dict.fromkeys(("LogSoftmax", "Softmax"), ("axis",)),
    "HardSigmoid": ("alpha", "beta"),
    "Selu": ("alpha", "gamma"),
}
"""Activations by name, and which attributes they have."""
