"""Mixtures of experts: every token goes to the few experts that its router chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.blocks import Array, by_blocks, unpacked
from backtrace_onnx.expansions.gates import swish_gated
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import Constant, ints

MICROSOFT = "com.microsoft"


@expansion("MoE", domain=MICROSOFT, opset=20)
def mixture_of_experts(
    e: Ops,
    op: Op,
    x: Value,
    router: Value,
    *layers: Value,
) -> Value:
    """Sum of the chosen experts' answers, each times its share of the router's softmax."""
    return _mixed(e, op, x, router, layers, among_chosen=False)


def _mixed(
    e: Ops, op: Op, x: Value, router: Value, layers: Sequence[Value], *, among_chosen: bool
) -> Value:
    """Mixture of experts of three layers, each of weights and a bias.

    Args:
        among_chosen: the softmax goes over the chosen experts only.
    """
    first, first_bias, second, second_bias, third, third_bias = [*layers, *[None] * 6][:6]
    if op.attribute("use_sparse_mixer", 0):
        raise RuleError("a sparse mixer has no expansion")
    tokens = e.Unsqueeze(e.Reshape(x, e.Concat(ints(-1), e.Shape(x, start=-1), axis=0)), ints(0))
    inner = _product(e, tokens, first, first_bias)
    inner = _activated(
        e, op, inner, None if third is None else _product(e, tokens, third, third_bias)
    )
    answers = _product(e, inner, second, second_bias)
    shares = e.Unsqueeze(e.Transpose(_shares(e, op, router, among_chosen), perm=[1, 0]), ints(2))
    mixed = e.ReduceSum(e.Mul(answers, shares), ints(0), keepdims=0)
    return e.Reshape(mixed, e.Shape(x))


def _product(e: Ops, x: Value, weights: Value, bias: Value) -> Value:
    """x[., tokens, features] times weights[experts, made, features] turned, plus bias."""
    product = e.MatMul(x, e.Transpose(weights, perm=[0, 2, 1]))
    return product if bias is None else e.Add(product, e.Unsqueeze(bias, ints(1)))


def _shares(e: Ops, op: Op, router: Value, among_chosen: bool) -> Value:
    """Share of every expert for every token; 0 for those not chosen."""
    count = ints(int(op.attribute("k", 1)))
    scores = router if among_chosen else e.Softmax(router, axis=-1)
    values, chosen = e.TopK(scores, count, axis=-1, outputs=2)
    if among_chosen:
        values = e.Softmax(values, axis=-1)
    elif op.attribute("normalize_routing_weights", 0):
        values = e.Div(values, e.ReduceSum(values, ints(-1), keepdims=1))
    nothing = e.Expand(e.zero(), e.Shape(router))
    return e.ScatterElements(nothing, chosen, values, axis=1)


def _activated(e: Ops, op: Op, x: Value, gate: Value) -> Value:
    kind = op.attribute("activation_type", "relu")
    if kind == "swiglu":
        return swish_gated(e, op, *_halves(e, op, x, gate), **_limits(op))
    if kind == "geglu":
        x, gate = _halves(e, op, x, gate)
        return e.Mul(e.Gelu(x, approximate="tanh"), gate)
    known: dict[str, Callable[[], Value]] = {
        "relu": lambda: e.Relu(x),
        "gelu": lambda: e.Gelu(x, approximate="tanh"),
        "silu": lambda: e.Mul(x, e.Sigmoid(x)),
        "relu2": lambda: e.Mul(e.Relu(x), e.Relu(x)),
        "identity": lambda: x,
    }
    if kind not in known:
        raise RuleError(f"its activation {kind!r} has no expansion")
    made = known[kind]()
    return made if gate is None else e.Mul(made, gate)


def _halves(e: Ops, op: Op, x: Value, gate: Value) -> tuple[Value, Value]:
    """What is activated and what it is multiplied with; one product may hold both."""
    fusion = int(op.attribute("swiglu_fusion", 0))
    if fusion == 1:
        pairs = e.Reshape(x, ints(0, 0, -1, 2))
        parts = e.Split(pairs, axis=3, num_outputs=2, outputs=2)
        return e.Squeeze(parts[0], ints(3)), e.Squeeze(parts[1], ints(3))
    if fusion == 2:
        x, gate = e.Split(x, axis=2, num_outputs=2, outputs=2)
    return x, gate


def _limits(op: Op) -> dict[str, Any]:
    return {
        "limit": op.attribute("swiglu_limit"),
        "after": bool(op.attribute("swiglu_limit_after_activation", 0)),
    }


@expansion("QMoE", domain=MICROSOFT, opset=20)
def quantised_mixture(e: Ops, op: Op, x: Value, router: Value, *rest: Value) -> Value:
    """The mixture of experts with the weights it stands for."""
    if op.attribute("quant_type", "int") != "int" or op.has(14):
        raise RuleError("floating-point weights, or weights beside the router's, have no expansion")
    given = [*rest, *[None] * 12]
    layers: list[Value] = []
    for layer, at in enumerate((2, 5, 8)):
        bits = int(op.attribute(f"fc{layer + 1}_expert_weight_bits", 0))
        real = _real(op, at, 11 + layer, bits or int(op.attribute("expert_weight_bits", 4)))
        name = f"{op.node.name}/weight{layer}"
        layers += [None if real is None else Constant(name, real), given[at]]
    return _mixed(e, op, x, router, layers, among_chosen=True)


def _real(op: Op, at: int, zeros_at: int, bits: int) -> Array | None:
    """Weights [experts, made, features] of one layer; None where the layer is left out.

    Raises RuleError where they are computed.
    """
    if not op.has(at):
        return None
    packed, scales, zeros = (op.constant(i) for i in (at, at + 1, zeros_at))
    if packed is None or scales is None or (zeros is None and op.has(zeros_at)):
        raise RuleError("its weights are computed while the model runs")
    values = unpacked(packed, bits)
    size = int(op.attribute("block_size", 0)) or values.shape[2]
    scales = scales.reshape(*values.shape[:2], -1)
    if zeros is None:
        zeros = np.full(scales.shape, 1 << (bits - 1), np.uint8)
    else:
        zeros = unpacked(zeros, bits).reshape(*values.shape[:2], -1)[..., : scales.shape[2]]
    return by_blocks(values, scales, zeros, 2, size)
