"""Attention of com.microsoft: with its projections, of projected heads, and of one new token.

Masks and their values are those of onnxruntime's operator documentation (ContribOperators.md):
`mask_index` and `key_padding_mask` add `mask_filter_value`, `unidirectional` the lowest number.
"""

from __future__ import annotations

from types import SimpleNamespace

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attention_core import (
    attend,
    causal,
    heads,
    hidden,
    joined,
    length,
    merged,
    within,
)
from backtrace_onnx.expansions.phrases import (
    INT32,
    known_size,
    named,
    parts,
    place,
    size_of,
    total,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints

_ORDERS = {
    "Attention": "x weights bias mask past added past_length",
    "DecoderMaskedSelfAttention": "x weights bias mask past added filled beams cache_indirection",
    "MultiHeadAttention": "query key value bias mask added past_key past_value past_length "
    "cache_indirection",
    "DecoderMaskedMultiHeadAttention": "query key value mask added past_key past_value past_length "
    "beams cache_indirection bias",
}
"""Inputs in their order."""


@microsoft("Attention", "DecoderMaskedSelfAttention")
def attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of the projections of x, which may be one new token."""
    x = named(_ORDERS[op.node.op_type], inputs)
    _refuse_buffers(op, x)
    if op.attribute("do_rotary", 0):
        raise RuleError("do rotary has no expansion")
    projected, features = projections(e, op, x.x, x.weights, x.bias)
    return attended(e, op, projected, features, mask=x.mask, past=x.past, added=x.added)


def _refuse_buffers(op: Op, x: SimpleNamespace) -> None:
    """Raises RuleError for caches that a decoding loop writes in place or shares among beams."""
    buffers = (getattr(x, name, None) for name in ("past_length", "cache_indirection"))
    if op.attribute("past_present_share_buffer", 0) or any(b is not None for b in buffers):
        raise RuleError("a cache that is written in place or shared among beams has no expansion")


def projections(
    e: Ops, op: Op, x: Value, weights: Value, bias: Value
) -> tuple[list[Value], list[int]]:
    """Queries, keys and values of x, and their numbers of features."""
    features = list(op.attribute("qkv_hidden_sizes", ()))
    features = features or [size_of(op, place(op, weights)) // 3] * 3
    cuts = parts(e, op, weights, features)
    offsets = [None] * 3 if bias is None else parts(e, op, bias, features)
    projected = [total(e, e.MatMul(x, w), b) for w, b in zip(cuts, offsets, strict=True)]
    return projected, features


def attended(
    e: Ops,
    op: Op,
    projected: list[Value],
    features: list[int],
    *,
    mask: Value,
    past: Value = None,
    added: Value = None,
) -> tuple[Value, ...]:
    """Attention of projections q, k, v [samples, tokens, features]; (output, present).

    Args:
        features: their numbers of features.
        past: keys and values [2, samples, heads, tokens, size] of earlier tokens.
        added: what is added to the scores.
    """
    count = op.attribute("num_heads")
    q, k, v = (heads(e, part, count) for part in projected)
    if past is not None:
        k, v = (joined(e, e.Gather(past, ints(i)[0], axis=0), x) for i, x in enumerate((k, v)))
    masking, scale = _masking(e, op, mask, q, k), op.attribute("scale")
    y = attend(e, q, k, v, added, masking, scale=scale, size=features[0] // count).y
    present = None
    if op.names(1):
        present = e.Concat(e.Unsqueeze(k, ints(0)), e.Unsqueeze(v, ints(0)), axis=0)
    return merged(e, y), present


def _masking(e: Ops, op: Op, mask: Value, q: Value, k: Value) -> Value:
    """What masks add to the scores; None where there are none."""
    made = None
    if mask is not None:
        score = e.scalar(op.attribute("mask_filter_value", -10000.0))
        made = hidden(e, _kept(e, op, mask, q, k), score)
    if op.attribute("unidirectional", 0):
        made = hidden(e, causal(e, length(e, q), length(e, k)), otherwise=made)
    return made


def _kept(e: Ops, op: Op, mask: Value, q: Value, k: Value) -> Value:
    """bool[samples, 1, 1 or queries, keys]: which keys a mask leaves."""
    rank = op.rank(place(op, mask))
    if rank == 1:
        return within(e, mask, e.Shape(q, start=0, end=1), length(e, k))
    if rank not in (2, 3):
        raise RuleError(f"onnxruntime's CPU does not run a mask of rank {rank}")
    keep = e.Greater(e.Cast(mask, to=INT32), ints(0).astype("int32")[0])
    return e.Unsqueeze(keep, ints(1, 2) if rank == 2 else ints(1))


@microsoft("MultiHeadAttention", "DecoderMaskedMultiHeadAttention")
def multi_head_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of projected queries, keys and values."""
    x = named(_ORDERS[op.node.op_type], inputs)
    if x.key is None or op.rank(0) != 3 or op.rank(1) not in (3, 4):
        raise RuleError(
            "packed queries, keys and values have no expansion; onnxruntime's CPU does not run them"
        )
    _refuse_buffers(op, x)
    count, features = op.attribute("num_heads"), known_size(op, 0)
    q, k, v = _biased(e, op, [x.query, x.key, x.value], x.bias)
    q = heads(e, q, count)
    if op.rank(1) == 3:
        k, v = heads(e, k, count), heads(e, v, count)
    k, v = joined(e, x.past_key, k), joined(e, x.past_value, v)
    masking, of_head = _masking(e, op, x.mask, q, k), features and features // count
    made = attend(e, q, k, v, x.added, masking, scale=op.attribute("scale"), size=of_head)
    return merged(e, made.y), k, v, made.weights


def _biased(e: Ops, op: Op, xs: list[Value], bias: Value) -> list[Value]:
    """Queries, keys and values plus their parts of the bias."""
    if bias is None:
        return xs
    if any(op.rank(i) != 3 for i in range(3)):
        raise RuleError("a bias of keys that are laid out by heads has no expansion")
    offsets = parts(e, op, bias, [size_of(op, i) for i in range(3)])
    return [e.Add(x, offset) for x, offset in zip(xs, offsets, strict=True)]
