"""Attention of a decoder whose cache is switched by its inputs."""

from __future__ import annotations

from backtrace_onnx.expansions.attention_core import attend, heads, hidden, joined, merged
from backtrace_onnx.expansions.phrases import fixed, named, parts, size_of
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints

_INPUTS = (
    "query key q_weights kv_weights bias mask key_cache value_cache crossing cached stateful padded"
)


@microsoft("DecoderAttention")
def decoder_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T / sqrt(size) + mask) v, tokens before samples, with or without a cache."""
    x = named(_INPUTS, inputs)
    crossing, cached, stateful, padded = (bool(fixed(op, i).any()) for i in range(8, 12))
    reads_cache = cached and stateful
    count, features = op.attribute("num_heads"), size_of(op, 2)
    of_q, of_k, of_v = parts(e, op, x.bias, [features] * 3)

    def projected(tokens: Value, weights: Value, offset: Value) -> Value:
        by_sample = e.Transpose(tokens, perm=[1, 0, 2])
        return heads(e, e.Add(e.MatMul(by_sample, weights), offset), count)

    q = projected(x.query, x.q_weights, of_q)
    if reads_cache and crossing:  # the encoder's keys are the same for every token
        k, v = x.key_cache, x.value_cache
    else:
        source, weights = x.key if crossing else x.query, parts(e, op, x.kv_weights, [features] * 2)
        k, v = (projected(source, w, b) for w, b in zip(weights, (of_k, of_v), strict=True))
        if reads_cache:
            k, v = joined(e, x.key_cache, k), joined(e, x.value_cache, v)
    masking = None
    if padded and x.mask is not None:
        masking = hidden(e, e.Not(e.Unsqueeze(x.mask, ints(1, 2))))
    y = merged(e, attend(e, q, k, v, masking, size=features // count).y)
    return e.Transpose(y, perm=[1, 0, 2]), k, v
