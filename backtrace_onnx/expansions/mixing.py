"""Streams that are mixed by gates, and recurrences of convolutions and gates, of newer models."""

from __future__ import annotations

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attention_core import scaled
from backtrace_onnx.expansions.normalisation import root_mean_square
from backtrace_onnx.expansions.phrases import (
    given,
    known_size,
    named,
    place,
    size_of,
    split_last,
    swish,
    times,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints

_SLICED = ("input_channel_offset", "input_channels", "state_length", "state_update_capacity")
"""Attributes of the causal convolution that only a GPU's kernel reads."""

# Streams ----------------------------------------------------------------------------------------


@microsoft("HyperConnectionPreMix")
def pre_mix(e: Ops, op: Op, streams: Value, gates: Value) -> Value:
    """Sum over the streams, each times its gate."""
    grouped = _grouped(e, op, streams)
    made = e.ReduceSum(e.Mul(grouped, _laid(e, op, gates, grouped)), ints(-2), keepdims=0)
    return times(e, made, op.attribute("reduction_scale", 1.0))


@microsoft("HyperConnectionPostMix")
def post_mix(
    e: Ops, op: Op, streams: Value, block: Value, gates: Value, mix: Value = None
) -> Value:
    """Streams mixed with each other, plus the block's output times its gates."""
    kept = grouped = _grouped(e, op, streams)
    if mix is not None:
        rank = op.rank(3)
        kept = e.MatMul(e.Transpose(mix, perm=[*range(rank - 2), rank - 1, rank - 2]), grouped)
    added = e.Mul(_laid(e, op, gates, grouped), e.Unsqueeze(block, ints(-2)))
    made = e.Add(kept, added)
    return e.Reshape(made, e.Shape(streams)) if op.attribute("num_branches", 0) else made


@microsoft("HyperConnectionLowRankMix")
def low_rank_mix(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Normalised streams, gated by a network of low rank and summed; gates for the next block."""
    x = named("streams scale down up inject block gates", inputs)
    streams = x.streams
    number = {
        name: float(op.attribute(name, 1.0))
        for name in ("silu_alpha", "reduction_scale", "gate_div", "gate_mul")
    }
    if x.block is not None:
        added = e.Mul(e.Unsqueeze(x.gates, ints(-1)), e.Unsqueeze(x.block, ints(-2)))
        streams = e.Reshape(e.Add(_grouped(e, op, streams), added), e.Shape(streams))
    by_stream = e.Reshape(x.scale, ints(op.attribute("num_branches"), -1))
    epsilon = op.attribute("epsilon", 1e-5)
    unit = root_mean_square(e, _grouped(e, op, streams), by_stream, epsilon)
    flat = e.Reshape(unit, e.Shape(streams))
    z = e.Mul(e.MatMul(flat, x.down), e.scalar(number["silu_alpha"]))
    opened = e.Sigmoid(e.MatMul(swish(e, z), x.up))
    mixed = e.ReduceSum(_grouped(e, op, e.Mul(flat, opened)), ints(-2), keepdims=0)
    logits = e.Div(e.MatMul(flat, x.inject), e.scalar(number["gate_div"]))
    made = e.Mul(e.Sigmoid(logits), e.scalar(number["gate_mul"]))
    return e.Mul(mixed, e.scalar(number["reduction_scale"])), made, streams


def _grouped(e: Ops, op: Op, x: Value) -> Value:
    """x[..., streams * features] as [..., streams, features]."""
    count = op.attribute("num_branches", 0)
    return split_last(e, x, count, -1) if count else x


def _laid(e: Ops, op: Op, gates: Value, grouped: Value) -> Value:
    """Gates [..., streams], [..., streams, 1] or one per feature, against the streams."""
    count, at = op.attribute("num_branches", 0), place(op, gates)
    if op.rank(at) == op.rank(0) + (1 if count else 0):
        return gates
    if count not in (0, size_of(op, at)):  # one per feature
        return e.Reshape(gates, e.Shape(grouped))
    return e.Unsqueeze(gates, ints(-1))


@microsoft("EngramGate")
def engram_gate(
    e: Ops, op: Op, key: Value, query: Value, value: Value, *scales: Value
) -> tuple[Value, Value]:
    """value * sigmoid(sign(d) sqrt|d|), d being normalised query . normalised key / sqrt(size)."""
    of_key, of_query, of_output = (*scales, None)[:3]
    epsilon = op.attribute("epsilon", 1e-5)
    k, q = (root_mean_square(e, x, s, epsilon) for x, s in ((key, of_key), (query, of_query)))
    products = scaled(e, e.Mul(q, k), None, known_size(op, 0))
    alike = e.ReduceSum(products, ints(-1), keepdims=1)
    root = e.Sqrt(e.Max(e.Abs(alike), e.scalar(1e-6)))  # onnxruntime's bound, away from 0
    y = e.Mul(e.Sigmoid(e.Mul(e.Sign(alike), root)), e.Unsqueeze(value, ints(-2)))
    return y, None if of_output is None else root_mean_square(e, y, of_output, epsilon)


# Recurrences ------------------------------------------------------------------------------------


@microsoft("LinearAttentionGate")
def linear_attention_gate(
    e: Ops, op: Op, a: Value, shift: Value, scale: Value, b: Value = None
) -> tuple[Value, ...]:
    """scale * Softplus(a + shift), and Sigmoid(b)."""
    decay = e.Mul(scale, e.Softplus(e.Add(a, shift)))
    return decay, None if b is None else e.Sigmoid(b)


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
    reach = (size_of(op, 1, 2) - 1) * dilation  # earlier values that the first output reads
    whole = e.Pad(x, ints(0, 0, reach, 0, 0, 0)) if past is None else e.Concat(past, x, axis=2)
    made = e.Conv(whole, *given(weight, bias), group=size_of(op, 1, 0), dilations=[dilation])
    if op.attribute("activation", "none") in ("silu", "swish"):
        made = swish(e, made)
    size = e.Shape(whole, start=2)
    return made, e.Slice(whole, e.Sub(size, ints(reach)), size, ints(2))
