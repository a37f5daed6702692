"""Activations, gates and biases that onnxruntime's optimisers fuse with what stands beside them."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints, microsoft

_WORD = 32  # places that a bitmask holds in one number

# Of a sum ---------------------------------------------------------------------------------------


@microsoft("BiasAdd")
def bias_add(e: Ops, op: Op, x: Value, bias: Value, skip: Value) -> Value:
    """(x + bias) + skip."""
    return x + bias + skip


@microsoft("BiasSplitGelu", opset=20)
def bias_split_gelu(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """left * Gelu(right), the halves of x + bias."""
    left, right = e.halves(x + bias)
    return left * e.Gelu(right)


@microsoft("BiasGelu", "FastGelu", opset=20)
def bias_gelu(e: Ops, op: Op, x: Value, bias: Value = None) -> Value:
    """Gelu(x + bias); FastGelu is its tanh approximation."""
    fast = "Fast" in op.node.op_type
    return e.Gelu(e.added(x, bias), approximate="tanh" if fast else None)


@microsoft("GemmFastGelu", opset=20)
def gemm_fast_gelu(e: Ops, op: Op, x: Value, w: Value, bias: Value = None) -> Value:
    """Gelu(x w + bias) by its tanh approximation."""
    return bias_gelu(e, op, e.MatMul(x, w), bias)


@microsoft("BiasSoftmax")
def bias_softmax(e: Ops, op: Op, x: Value, bias: Value) -> Value:
    """Softmax(x + bias) over all axes from `axis` on, taken as one."""
    scores, axis = x + bias, op.attribute("axis", 1)
    if axis == -1 or axis == op.rank(0) - 1:
        return e.Softmax(scores, axis=-1)
    flat = e.laid(scores, e.Shape(x, end=axis), -1)
    return e.Reshape(e.Softmax(flat, axis=-1), e.Shape(x))


@microsoft("BiasDropout", "BitmaskBiasDropout", "BitmaskDropout")
def dropout(e: Ops, op: Op, x: Value, *rest: Value) -> tuple[Value, Value]:
    """x with the bias and the residual that it takes: nothing is dropped at inference."""
    plain = op.node.op_type == "BitmaskDropout"
    at = 2 if plain else 4  # training_mode
    training = op.constant(at)
    if op.has(at) and (training is None or training.any()):
        raise RuleError("it drops at random while training; export the model for inference")
    y = e.Identity(x) if plain else e.added(x, *rest[:2])
    if "Bitmask" not in op.node.op_type:
        return y, e.Expand(np.bool_(True), e.Shape(x))
    words = (e.Size(x) + np.int64(_WORD - 1)) / np.int64(_WORD)  # a bit for every element
    return y, e.Expand(np.uint32(0xFFFFFFFF), e.Reshape(words, ints(1)))


# Of one input -----------------------------------------------------------------------------------


@microsoft("QuickGelu")
def quick_gelu(e: Ops, op: Op, x: Value) -> Value:
    """x * sigmoid(alpha x)."""
    return e.swish(x, op.attribute("alpha", 1.702))


@microsoft("ScaledSiLU")
def scaled_silu(e: Ops, op: Op, x: Value, scale: Value = None) -> Value:
    """z * sigmoid(z) of z = scale * x."""
    return e.swish(x * (e.scalar(op.attribute("alpha", 1.0)) if scale is None else scale))


@expansion("Erfc")
def erfc(e: Ops, op: Op, x: Value) -> Value:
    """1 - erf(x): Keras' own export writes the exact GELU with it, which no runtime loads."""
    return 1.0 - e.Erf(x)


# Gates ------------------------------------------------------------------------------------------


@microsoft("GatedAdd")
def gated_add(e: Ops, op: Op, x: Value, y: Value, gate: Value, weight: Value = None) -> Value:
    """x + y * gate; where the gate has weights, y times the sigmoid of their product."""
    return x + y * (gate if weight is None else e.Sigmoid(e.MatMul(gate, weight)))


@microsoft("LinearAttentionGate")
def linear_attention_gate(
    e: Ops, op: Op, a: Value, shift: Value, scale: Value, b: Value = None
) -> tuple[Value, ...]:
    """scale * Softplus(a + shift), and Sigmoid(b)."""
    return scale * e.Softplus(a + shift), None if b is None else e.Sigmoid(b)


@microsoft("SwiGLU")
def swiglu(e: Ops, op: Op, gate: Value, up: Value = None) -> Value:
    """gate * sigmoid(alpha gate) * (up + beta); one input holds the gate and then the rest."""
    gate, up = e.halves(gate) if up is None else (gate, up)
    return swish_gated(e, op, gate, up, limit=_limit(op))


@microsoft("RouterGateUpProj")
def router_gate_up(e: Ops, op: Op, x: Value, weight: Value) -> tuple[Value, Value]:
    """One product, split into the router's logits and the two halves of a SwiGLU."""
    kind, router = op.attribute("activation", "swiglu"), op.attribute("router_size")
    if kind != "swiglu":
        raise RuleError(f"its activation {kind!r} has no expansion")
    inner = (op.size(1) - router) // 2
    logits, gate, up = e.Split(e.MatMul(x, weight), ints(router, inner, inner), axis=-1, outputs=3)
    return logits, swish_gated(e, op, gate, up, limit=_limit(op))


def swish_gated(
    e: Ops, op: Op, gate: Value, up: Value, *, limit: float | None, after: bool = False
) -> Value:
    """gate * sigmoid(alpha gate) * (up + beta), both halves clamped.

    Args:
        limit: the gate's greatest value, and the greatest magnitude of the other half.
        after: the gate is clamped when it is activated, not before.
    """
    beta = op.attribute("activation_beta", 0.0)
    if limit is not None:
        up = e.Clip(up, e.scalar(-limit), e.scalar(limit))
        gate = gate if after else e.Clip(gate, None, e.scalar(limit))
    opened = e.swish(gate, op.attribute("activation_alpha", 1.0))
    if limit is not None and after:
        opened = e.Clip(opened, None, e.scalar(limit))
    return opened * (up + beta)


def _limit(op: Op) -> float | None:
    """The limit of SwiGLU; zero or less is none."""
    limit = op.attribute("limit", 0.0)
    return limit if limit > 0 else None
