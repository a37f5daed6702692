"""Streams that are mixed by gates, and recurrences of convolutions and gates, of newer models."""

from __future__ import annotations

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attending import scaled
from backtrace_onnx.expansions.normalisation import root_mean_square
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
_SLICED = ("input_channel_offset", "input_channels", "state_length", "state_update_capacity")
"""Attributes of the causal convolution that only a GPU's kernel reads."""


@expansion("HyperConnectionPreMix", domain=MICROSOFT)
def pre_mix(e: Ops, op: Op, streams: Value, gates: Value) -> Value:
    """Sum over the streams, each times its gate."""
    grouped = _grouped(e, op, streams)
    mixed = e.Mul(grouped, _laid(e, op, gates, grouped, op.rank(1)))
    made = e.ReduceSum(mixed, ints(-2), keepdims=0)
    scale = float(op.attribute("reduction_scale", 1.0))
    return made if scale == 1 else e.Mul(made, e.scalar(scale))


@expansion("HyperConnectionPostMix", domain=MICROSOFT)
def post_mix(
    e: Ops, op: Op, streams: Value, block: Value, gates: Value, mix: Value = None
) -> Value:
    """Streams mixed with each other, plus the block's output times its gates."""
    grouped = _grouped(e, op, streams)
    kept = grouped
    if mix is not None:
        rank = op.rank(3)
        turned = e.Transpose(mix, perm=[*range(rank - 2), rank - 1, rank - 2])
        kept = e.MatMul(turned, grouped)
    laid = _laid(e, op, gates, grouped, op.rank(2))
    added = e.Mul(laid, e.Unsqueeze(block, ints(-2)))
    made = e.Add(kept, added)
    return e.Reshape(made, e.Shape(streams)) if op.attribute("num_branches", 0) else made


def _grouped(e: Ops, op: Op, x: Value) -> Value:
    """x[..., streams * features] as [..., streams, features]."""
    count = int(op.attribute("num_branches", 0))
    return x if not count else e.Reshape(x, e.Concat(e.Shape(x, end=-1), ints(count, -1), axis=0))


def _laid(e: Ops, op: Op, gates: Value, grouped: Value, rank: int) -> Value:
    """Gates [..., streams], [..., streams, 1] or one per feature, against the streams."""
    whole = op.rank(0) + (1 if op.attribute("num_branches", 0) else 0)
    if rank == whole:
        return gates
    shape = op.type(1 if op.node.op_type == "HyperConnectionPreMix" else 2).shape
    if not shape or not isinstance(shape[-1], int):
        raise RuleError("the shape of its gates is not known")
    count = int(op.attribute("num_branches", 0))
    if count and shape[-1] != count:
        return e.Reshape(gates, e.Shape(grouped))
    return e.Unsqueeze(gates, ints(-1))


@expansion("LinearAttentionGate", domain=MICROSOFT)
def linear_attention_gate(
    e: Ops, op: Op, a: Value, shift: Value, scale: Value, b: Value = None
) -> tuple[Value, ...]:
    """scale * Softplus(a + shift), and Sigmoid(b)."""
    decay = e.Mul(scale, e.Softplus(e.Add(a, shift)))
    return decay, None if b is None else e.Sigmoid(b)


@expansion("CausalConvWithState", domain=MICROSOFT)
def causal_convolution(
    e: Ops, op: Op, x: Value, weight: Value, bias: Value = None, past: Value = None
) -> tuple[Value, ...]:
    """Convolution of every channel with its earlier values, the oldest of which are given."""
    shape = op.type(1).shape
    for name in ("state_window", "channels_last", *_SLICED):
        if op.attribute(name, 0):
            raise RuleError(f"{name.replace('_', ' ')} has no expansion")
    if int(op.attribute("ndim", 1)) != 1 or not shape or not isinstance(shape[2], int):
        raise RuleError("only one axis and a kernel of known length have an expansion")
    reach = (shape[2] - 1) * int(op.attribute("dilation", 1))
    if past is None:
        edges = ints(0, 0, reach, 0, 0, 0)
        whole = e.Pad(x, edges)
    else:
        whole = e.Concat(past, x, axis=2)
    channels = shape[0]
    if not isinstance(channels, int):
        raise RuleError("the number of its channels is not known")
    given = [weight] if bias is None else [weight, bias]
    made = e.Conv(whole, *given, group=channels, dilations=[int(op.attribute("dilation", 1))])
    if op.attribute("activation", "none") in ("silu", "swish"):
        made = e.Mul(made, e.Sigmoid(made))
    size = e.Shape(whole, start=2)
    state = e.Slice(whole, e.Sub(size, ints(reach)), size, ints(2))
    return made, state


@expansion("EngramGate", domain=MICROSOFT)
def engram_gate(
    e: Ops, op: Op, key: Value, query: Value, value: Value, *scales: Value
) -> tuple[Value, Value]:
    """value * sigmoid(sign(d) sqrt|d|), d being normalised query . normalised key / sqrt(size)."""
    of_key, of_query, of_output = (*scales, None)[:3]
    epsilon = float(op.attribute("epsilon", 1e-5))
    k, q = (root_mean_square(e, x, s, epsilon) for x, s in ((key, of_key), (query, of_query)))
    alike = e.ReduceSum(scaled(e, e.Mul(q, k), None, _size(op)), ints(-1), keepdims=1)
    root = e.Sqrt(e.Max(e.Abs(alike), e.scalar(1e-6)))
    y = e.Mul(e.Sigmoid(e.Mul(e.Sign(alike), root)), e.Unsqueeze(value, ints(-2)))
    return y, None if of_output is None else root_mean_square(e, y, of_output, epsilon)


def _size(op: Op) -> int | None:
    """Features of a token in the first input, if known."""
    last = (op.type(0).shape or (None,))[-1]
    return last if isinstance(last, int) else None


@expansion("HyperConnectionLowRankMix", domain=MICROSOFT)
def low_rank_mix(
    e: Ops,
    op: Op,
    streams: Value,
    scale: Value,
    down: Value,
    up: Value,
    inject: Value,
    block: Value = None,
    gates: Value = None,
) -> tuple[Value, ...]:
    """Normalised streams, gated by a network of low rank and summed; gates for the next block."""
    if block is not None:
        added = e.Mul(e.Unsqueeze(gates, ints(-1)), e.Unsqueeze(block, ints(-2)))
        streams = e.Reshape(e.Add(_grouped(e, op, streams), added), e.Shape(streams))
    rows = _grouped(e, op, streams)
    by_stream = e.Reshape(scale, ints(int(op.attribute("num_branches")), -1))
    unit = root_mean_square(e, rows, by_stream, float(op.attribute("epsilon", 1e-5)))
    flat = e.Reshape(unit, e.Shape(streams))
    z = e.Mul(e.MatMul(flat, down), e.scalar(float(op.attribute("silu_alpha", 1.0))))
    opened = e.Sigmoid(e.MatMul(e.Mul(z, e.Sigmoid(z)), up))
    mixed = e.ReduceSum(_grouped(e, op, e.Mul(flat, opened)), ints(-2), keepdims=0)
    y = e.Mul(mixed, e.scalar(float(op.attribute("reduction_scale", 1.0))))
    logits = e.Div(e.MatMul(flat, inject), e.scalar(float(op.attribute("gate_div", 1.0))))
    made = e.Mul(e.Sigmoid(logits), e.scalar(float(op.attribute("gate_mul", 1.0))))
    return y, made, streams
