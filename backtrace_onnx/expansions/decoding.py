"""Attention of a decoder whose cache is switched by its inputs."""

from __future__ import annotations

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attending import (
    heads,
    hidden,
    lowest,
    merged,
    parts,
    products,
    scaled,
    softmax,
    weighed,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"


@expansion("DecoderAttention", domain=MICROSOFT)
def decoder_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T / sqrt(size) + mask) v, tokens before samples, with or without a cache."""
    query, key, q_weights, kv_weights, bias, mask, key_cache, value_cache = inputs[:8]
    crossing, cached, stateful, padded = (_switch(op, i) for i in range(8, 12))
    count, size = int(op.attribute("num_heads")), _size(op)
    of_q, of_k, of_v = parts(e, op, 4, bias, [size] * 3)
    source = e.Transpose(key if crossing else query, perm=[1, 0, 2])

    def projected(x: Value, weights: Value, offset: Value) -> Value:
        return heads(e, e.Add(e.MatMul(x, weights), offset), count)

    q = projected(e.Transpose(query, perm=[1, 0, 2]), q_weights, of_q)
    if cached and stateful and crossing:
        k, v = key_cache, value_cache
    else:
        of_keys, of_values = parts(e, op, 3, kv_weights, [size] * 2)
        k, v = projected(source, of_keys, of_k), projected(source, of_values, of_v)
        if cached and stateful:
            k, v = e.Concat(key_cache, k, axis=2), e.Concat(value_cache, v, axis=2)
    scores = products(e, scaled(e, q, None, size // count), k)
    if padded and mask is not None:
        scores = e.Add(scores, hidden(e, e.Not(e.Unsqueeze(mask, ints(1, 2))), lowest(e)))
    y = merged(e, weighed(e, softmax(e, scores), v))
    return e.Transpose(y, perm=[1, 0, 2]), k, v


def _switch(op: Op, i: int) -> bool:
    """A boolean input, which must be a constant."""
    given = op.constant(i)
    if given is None:
        raise RuleError("whether it crosses or caches is computed while the model runs")
    return bool(given.any())


def _size(op: Op) -> int:
    shape = op.type(2).shape
    if not shape or not isinstance(shape[-1], int):
        raise RuleError("the shape of its weights is not known")
    return shape[-1]
