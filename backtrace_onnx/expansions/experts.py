"""Mixtures of experts: every token goes to the few experts that its router chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.expansions.activations import swish_gated
from backtrace_onnx.expansions.attention_core import lowest
from backtrace_onnx.expansions.block_quantisation import real_weights
from backtrace_onnx.expansions.registry import Constant, Op, Ops, RuleError, Value, ints, microsoft

_LEAST = np.float32(1e-20)


@microsoft("MoE", opset=20)
def mixture_of_experts(e: Ops, op: Op, x: Value, router: Value, *layers: Value) -> Value:
    """Sum of the chosen experts' answers, each times its share of the router's softmax."""
    return _mixed(e, op, x, router, layers, among_chosen=False)


@microsoft("QMoE", opset=20)
def quantised_mixture(e: Ops, op: Op, x: Value, router: Value, *rest: Value) -> Value:
    """The mixture of experts with the weights it stands for."""
    if op.attribute("quant_type", "int") != "int" or op.has(14):
        raise RuleError("floating-point weights, or weights beside the router's, have no expansion")
    given = [*rest, *[None] * 12]
    layers: list[Value] = []
    for layer, at in enumerate((2, 5, 8)):
        bits = int(op.attribute(f"fc{layer + 1}_expert_weight_bits", 0))
        bits, size = bits or op.attribute("expert_weight_bits", 4), op.attribute("block_size", 0)
        made = None
        if op.has(at):
            zeros = op.fixed_or_none(11 + layer)
            real = real_weights(op.fixed(at), op.fixed(at + 1), zeros, bits, size)
            made = Constant(f"{op.node.name}/weight{layer}", real)
        layers += [made, given[at]]
    return _mixed(e, op, x, router, layers, among_chosen=True)


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
    tokens = e.Unsqueeze(e.laid(x, -1, e.Shape(x, start=-1)), ints(0))
    inner = _product(e, tokens, first, first_bias)
    gate = None if third is None else _product(e, tokens, third, third_bias)
    answers = _product(e, _activated(e, op, inner, gate), second, second_bias)
    shares = e.Unsqueeze(e.Transpose(_shares(e, op, router, among_chosen), perm=[1, 0]), ints(2))
    mixed = e.ReduceSum(answers * shares, ints(0), keepdims=0)
    return e.Reshape(mixed, e.Shape(x))


def _product(e: Ops, x: Value, weights: Value, bias: Value) -> Value:
    """x[., tokens, features] times weights[experts, made, features] turned, plus bias."""
    product = e.MatMul(x, e.Transpose(weights, perm=[0, 2, 1]))
    return product if bias is None else product + e.Unsqueeze(bias, ints(1))


def _shares(e: Ops, op: Op, router: Value, among_chosen: bool) -> Value:
    """Share of every expert for every token; 0 for those not chosen."""
    count = ints(op.attribute("k", 1))
    scores = router if among_chosen else e.Softmax(router, axis=-1)
    values, chosen = e.TopK(scores, count, axis=-1, outputs=2)
    if among_chosen:
        values = e.Softmax(values, axis=-1)
    elif op.attribute("normalize_routing_weights", 0):
        values /= e.ReduceSum(values, ints(-1), keepdims=1)
    nothing = e.Expand(e.zero(), e.Shape(router))
    return e.ScatterElements(nothing, chosen, values, axis=1)


def _activated(e: Ops, op: Op, x: Value, gate: Value) -> Value:
    """The activation of x, times the gate where there is one."""
    kind = op.attribute("activation_type", "relu")
    if kind in ("swiglu", "geglu"):
        x, gate = _halves(e, op, x, gate)
    if kind == "swiglu":
        after = bool(op.attribute("swiglu_limit_after_activation", 0))
        return swish_gated(e, op, x, gate, limit=op.attribute("swiglu_limit"), after=after)
    known: dict[str, Callable[[], Value]] = {
        "relu": lambda: e.Relu(x),
        "gelu": lambda: e.Gelu(x, approximate="tanh"),
        "geglu": lambda: e.Gelu(x, approximate="tanh"),
        "silu": lambda: e.swish(x),
        "relu2": lambda: e.Relu(x) * e.Relu(x),
        "identity": lambda: x,
    }
    if kind not in known:
        raise RuleError(f"its activation {kind!r} has no expansion")
    made = known[kind]()
    return made if gate is None else made * gate


def _halves(e: Ops, op: Op, x: Value, gate: Value) -> tuple[Value, Value]:
    """What is activated and what it is multiplied with; one product may hold both."""
    fusion = op.attribute("swiglu_fusion", 0)
    if fusion == 1:  # one of each in turn
        first, second = e.halves(e.Reshape(x, ints(0, 0, -1, 2)), 3)
        return e.Squeeze(first, ints(3)), e.Squeeze(second, ints(3))
    return e.halves(x, 2) if fusion == 2 else (x, gate)


# Routers ----------------------------------------------------------------------------------------


@microsoft("MoEGroupRouter")
def group_router(
    e: Ops, op: Op, logits: Value, bias: Value, weight: Value = None
) -> tuple[Value, ...]:
    """Log of the logits' sigmoid at the experts chosen from the best groups; else a sentinel."""
    experts = op.size(1, 0)
    if weight is not None:
        logits = e.MatMul(logits, e.Transpose(weight, perm=[1, 0]))
    shares = e.Sigmoid(e.Reshape(e.float32(logits), ints(-1, experts)))
    scores = shares + bias
    outputs = None, scores if op.names(1) else None, shares if op.names(2) else None
    if not op.names(0):
        return outputs
    if op.attribute("n_group", 1) > 1:
        scores = _of_best_groups(e, op, scores, experts, op.attribute("n_group"))
    _, chosen = e.TopK(scores, ints(op.attribute("top_k")), axis=-1, outputs=2)
    logs = e.GatherElements(e.Log(e.Max(shares, _LEAST)), chosen, axis=-1)
    elsewhere = e.Expand(np.float32(op.attribute("router_sentinel", -10000.0)), e.Shape(shares))
    return e.floats(e.ScatterElements(elsewhere, chosen, logs, axis=-1)), *outputs[1:]


def _of_best_groups(e: Ops, op: Op, scores: Value, experts: int, groups: int) -> Value:
    """Scores of the experts of the chosen groups; of all others the lowest number there is."""
    size = experts // groups
    grouped = e.Reshape(scores, ints(-1, groups, size))
    best, _ = e.TopK(grouped, ints(min(op.attribute("group_topk", 2), size)), outputs=2)
    sums = e.ReduceSum(best, ints(-1), keepdims=0)
    _, kept = e.TopK(sums, ints(op.attribute("topk_group", 1)), axis=-1, outputs=2)
    nothing = e.Expand(np.float32(0), e.Shape(sums))
    ones = e.Expand(np.float32(1), e.Shape(kept))
    open_groups = e.Unsqueeze(e.ScatterElements(nothing, kept, ones, axis=-1), ints(-1))
    masked = e.Where(open_groups > np.float32(0.5), grouped, lowest(e))
    return e.Reshape(masked, ints(-1, experts))
