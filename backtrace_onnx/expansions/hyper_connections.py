"""Residual streams, several side by side, that are mixed by gates: hyper-connections, engrams."""

from __future__ import annotations

from backtrace_onnx.expansions.attention_core import scaled
from backtrace_onnx.expansions.normalisation import root_mean_square
from backtrace_onnx.expansions.phrases import named
from backtrace_onnx.expansions.registry import Op, Ops, Value, ints, microsoft


@microsoft("HyperConnectionPreMix")
def pre_mix(e: Ops, op: Op, streams: Value, gates: Value) -> Value:
    """Sum over the streams, each times its gate."""
    grouped = _grouped(e, op, streams)
    made = e.ReduceSum(grouped * _against(e, op, gates, grouped), ints(-2), keepdims=0)
    return e.times(made, op.attribute("reduction_scale", 1.0))


@microsoft("HyperConnectionPostMix")
def post_mix(
    e: Ops, op: Op, streams: Value, block: Value, gates: Value, mix: Value = None
) -> Value:
    """Streams mixed with each other, plus the block's output times its gates."""
    kept = grouped = _grouped(e, op, streams)
    if mix is not None:
        rank = op.rank(3)
        kept = e.MatMul(e.Transpose(mix, perm=[*range(rank - 2), rank - 1, rank - 2]), grouped)
    made = kept + _against(e, op, gates, grouped) * e.Unsqueeze(block, ints(-2))
    return e.Reshape(made, e.Shape(streams)) if op.attribute("num_branches", 0) else made


@microsoft("HyperConnectionLowRankMix")
def low_rank_mix(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Normalised streams, gated by a network of low rank and summed; gates for the next block."""
    x = named("streams scale down up inject block gates", inputs)
    names = ("silu_alpha", "reduction_scale", "gate_div", "gate_mul")
    alpha, reduction, divisor, factor = (e.scalar(op.attribute(name, 1.0)) for name in names)
    streams = x.streams
    if x.block is not None:
        added = e.Unsqueeze(x.gates, ints(-1)) * e.Unsqueeze(x.block, ints(-2))
        streams = e.Reshape(_grouped(e, op, streams) + added, e.Shape(streams))
    by_stream = e.Reshape(x.scale, ints(op.attribute("num_branches"), -1))
    epsilon = op.attribute("epsilon", 1e-5)
    unit = root_mean_square(e, _grouped(e, op, streams), by_stream, epsilon)
    flat = e.Reshape(unit, e.Shape(streams))
    opened = e.Sigmoid(e.MatMul(e.swish(e.MatMul(flat, x.down) * alpha), x.up))
    mixed = e.ReduceSum(_grouped(e, op, flat * opened), ints(-2), keepdims=0)
    gates = e.Sigmoid(e.MatMul(flat, x.inject) / divisor)
    return mixed * reduction, gates * factor, streams


def _grouped(e: Ops, op: Op, x: Value) -> Value:
    """x[..., streams * features] as [..., streams, features]."""
    count = op.attribute("num_branches", 0)
    return e.laid(x, e.Shape(x, end=-1), count, -1) if count else x


def _against(e: Ops, op: Op, gates: Value, grouped: Value) -> Value:
    """Gates [..., streams], [..., streams, 1] or one per feature, against the streams."""
    count, at = op.attribute("num_branches", 0), op.place(gates)
    if op.rank(at) == op.rank(0) + bool(count):
        return gates
    if count not in (0, op.size(at)):  # one per feature
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
    alike = e.ReduceSum(scaled(e, q * k, None, op.known_size(0)), ints(-1), keepdims=1)
    root = e.Sqrt(e.Max(e.Abs(alike), e.scalar(1e-6)))  # onnxruntime's bound, away from 0
    y = e.Sigmoid(e.Sign(alike) * root) * e.Unsqueeze(value, ints(-2))
    return y, None if of_output is None else root_mean_square(e, y, of_output, epsilon)
