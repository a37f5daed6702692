"""Attention of com.microsoft: of projections, of projected heads, of one new token, in a window.

Masks and their values are those of onnxruntime's operator documentation (ContribOperators.md):
`mask_index` and `key_padding_mask` add `mask_filter_value`, `unidirectional` the lowest number.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from backtrace_onnx.expansions import attention_core as core
from backtrace_onnx.expansions.phrases import named
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, ints, microsoft

_ORDERS = {
    "Attention": "x weights bias mask past added past_length",
    "DecoderMaskedSelfAttention": "x weights bias mask past added filled beams cache_indirection",
    "MultiHeadAttention": "query key value bias mask added past_key past_value past_length "
    "cache_indirection",
    "DecoderMaskedMultiHeadAttention": "query key value mask added past_key past_value past_length "
    "beams cache_indirection bias",
    "DecoderAttention": "query key q_weights kv_weights bias mask key_cache value_cache crossing "
    "cached stateful padded",
    "LongformerAttention": "x weights bias mask global_weights global_bias flags",
}
"""Inputs in their order."""


def _inputs(op: Op, inputs: tuple[Value, ...]) -> SimpleNamespace:
    """Inputs by name. Raises RuleError for caches that a loop writes in place or beams share."""
    x = named(_ORDERS[op.node.op_type], inputs)
    buffers = (getattr(x, name, None) for name in ("past_length", "cache_indirection"))
    if op.attribute("past_present_share_buffer", 0) or any(b is not None for b in buffers):
        raise RuleError("a cache that is written in place or shared among beams has no expansion")
    return x


@microsoft("Attention", "DecoderMaskedSelfAttention")
def attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of the projections of x, which may be one new token."""
    x = _inputs(op, inputs)
    if op.attribute("do_rotary", 0):
        raise RuleError("do rotary has no expansion")
    projected, features = projections(e, op, x.x, x.weights, x.bias)
    return attended(e, op, projected, features, mask=x.mask, past=x.past, added=x.added)


def projections(
    e: Ops, op: Op, x: Value, weights: Value, bias: Value
) -> tuple[list[Value], list[int]]:
    """Queries, keys and values of x, and their numbers of features."""
    features = list(op.attribute("qkv_hidden_sizes", ()))
    features = features or [op.size(op.place(weights)) // 3] * 3
    projected = [e.MatMul(x, w) for w in e.cut(op, weights, features)]
    return biased(e, op, projected, bias, features), features


def biased(e: Ops, op: Op, xs: list[Value], bias: Value, features: Sequence[int]) -> list[Value]:
    """Queries, keys and values plus their parts of the bias."""
    if bias is None:
        return xs
    return [x + b for x, b in zip(xs, e.cut(op, bias, features), strict=True)]


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
    q, k, v = (core.heads(e, part, count) for part in projected)
    if past is not None:
        k, v = (core.joined(e, e.Gather(past, np.int64(i)), x) for i, x in enumerate((k, v)))
    masking = _masking(e, op, mask, q, k)
    y, _ = core.attend(e, op, q, k, v, added, masking, size=features[0] // count)
    present = None
    if op.names(1):
        present = e.Concat(e.Unsqueeze(k, ints(0)), e.Unsqueeze(v, ints(0)), axis=0)
    return core.merged(e, y), present


def _masking(e: Ops, op: Op, mask: Value, q: Value, k: Value) -> Value:
    """What masks add to the scores; None where there are none."""
    made = None
    if mask is not None:
        score = e.scalar(op.attribute("mask_filter_value", -10000.0))
        made = core.hidden(e, _kept(e, op, mask, q, k), score)
    if op.attribute("unidirectional", 0):
        keys = e.length(k)
        queries = e.Unsqueeze(e.Range(keys - e.length(q), keys, np.int64(1)), ints(1))
        made = core.hidden(e, core.seen(e, e.places(keys), queries, right=0), otherwise=made)
    return made


def _kept(e: Ops, op: Op, mask: Value, q: Value, k: Value) -> Value:
    """bool[samples, 1, 1 or queries, keys]: which keys a mask leaves."""
    rank = op.rank(op.place(mask))
    if rank == 1:
        return core.within(e, mask, e.Shape(q, start=0, end=1), e.length(k))
    if rank not in (2, 3):
        raise RuleError(f"onnxruntime's CPU does not run a mask of rank {rank}")
    return e.Unsqueeze(e.int32(mask) > np.int32(0), ints(1, 2) if rank == 2 else ints(1))


@microsoft("MultiHeadAttention", "DecoderMaskedMultiHeadAttention")
def multi_head_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of projected queries, keys and values."""
    x = _inputs(op, inputs)
    if x.key is None or op.rank(0) != 3 or op.rank(1) not in (3, 4):
        raise RuleError(
            "packed queries, keys and values have no expansion; onnxruntime's CPU does not run them"
        )
    count, features, by_heads = op.attribute("num_heads"), op.known_size(0), op.rank(1) == 4
    if x.bias is not None and by_heads:
        raise RuleError("a bias of keys that are laid out by heads has no expansion")
    widths = [] if x.bias is None else [op.size(i) for i in range(3)]
    q, k, v = biased(e, op, [x.query, x.key, x.value], x.bias, widths)
    q = core.heads(e, q, count)
    if not by_heads:
        k, v = core.heads(e, k, count), core.heads(e, v, count)
    k, v = core.joined(e, x.past_key, k), core.joined(e, x.past_value, v)
    masking, of_head = _masking(e, op, x.mask, q, k), features and features // count
    y, (*_, weights) = core.attend(e, op, q, k, v, x.added, masking, size=of_head)
    return core.merged(e, y), k, v, weights


@microsoft("DecoderAttention")
def decoder_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T / sqrt(size) + mask) v, tokens before samples, with or without a cache."""
    x = _inputs(op, inputs)
    crossing, cached, stateful, padded = (bool(op.fixed(i).any()) for i in range(8, 12))
    reads_cache = cached and stateful
    count, features = op.attribute("num_heads"), op.size(2)
    of_q, of_k, of_v = e.cut(op, x.bias, [features] * 3)

    def projected(tokens: Value, weights: Value, offset: Value) -> Value:
        by_sample = e.Transpose(tokens, perm=[1, 0, 2])
        return core.heads(e, e.MatMul(by_sample, weights) + offset, count)

    q = projected(x.query, x.q_weights, of_q)
    if reads_cache and crossing:  # the encoder's keys are the same for every token
        k, v = x.key_cache, x.value_cache
    else:
        source, weights = x.key if crossing else x.query, e.cut(op, x.kv_weights, [features] * 2)
        k, v = (projected(source, w, b) for w, b in zip(weights, (of_k, of_v), strict=True))
        if reads_cache:
            k, v = core.joined(e, x.key_cache, k), core.joined(e, x.value_cache, v)
    masking = None
    if padded and x.mask is not None:
        masking = core.hidden(e, e.Not(e.Unsqueeze(x.mask, ints(1, 2))))
    y, _ = core.attend(e, op, q, k, v, masking, size=features // count)
    return e.Transpose(core.merged(e, y), perm=[1, 0, 2]), k, v


@microsoft("LongformerAttention")
def longformer_attention(e: Ops, op: Op, *inputs: Value) -> Value:
    """Softmax(q k^T * scale + mask) v over a window and the global tokens, over all for these.

    Beltagy, Peters and Cohan, Longformer (2020). Written densely: its cost grows with the square
    of the length. Masked tokens attend to nothing.
    """
    x, count = _inputs(op, inputs), op.attribute("num_heads")
    near, far = (
        [core.heads(e, part, count) for part in projections(e, op, x.x, weights, bias)[0]]
        for weights, bias in ((x.weights, x.bias), (x.global_weights, x.global_bias))
    )
    size = op.size(1) // 3 // count
    at, reach = e.places(e.length(near[0])), op.attribute("window")
    window = core.seen(e, at, e.Unsqueeze(at, ints(1)), left=reach, right=reach)
    everywhere = x.flags > np.int32(0)
    seen = window | e.Unsqueeze(everywhere, ints(1, 2))
    masking = e.Unsqueeze(x.mask, ints(1, 2))
    local, _ = core.attend(e, op, *near, core.hidden(e, seen, otherwise=masking), size=size)
    full, _ = core.attend(e, op, *far, masking, size=size)
    y = e.Where(e.Unsqueeze(everywhere, ints(1, 3)), full, local)
    return core.merged(e, e.Where(e.Unsqueeze(x.mask < e.zero(), ints(1, 3)), e.zero(), y))
