"""Attention within a window, with some tokens that see all and are seen by all."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.attending import (
    heads,
    hidden,
    length,
    lowest,
    merged,
    places,
    products,
    scaled,
    softmax,
    weighed,
)
from backtrace_onnx.expansions.attention import projections
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"


@expansion("LongformerAttention", domain=MICROSOFT)
def longformer_attention(
    e: Ops,
    op: Op,
    x: Value,
    weights: Value,
    bias: Value,
    mask: Value,
    global_weights: Value,
    global_bias: Value,
    flags: Value,
) -> Value:
    """Softmax(q k^T * scale + mask) v over a window and the global tokens, over all for these.

    Beltagy, Peters and Cohan, Longformer (2020). Written densely: its cost grows with the square
    of the length. Masked tokens attend to nothing.
    """
    everywhere = e.Greater(flags, np.int32(0))
    q, k, v = _by_heads(e, op, x, weights, bias, 1)
    own = _by_heads(e, op, x, global_weights, global_bias, 4)
    at = places(e, length(e, q))
    apart = e.Abs(e.Sub(e.Unsqueeze(at, ints(0)), e.Unsqueeze(at, ints(1))))
    near = e.LessOrEqual(apart, np.int64(op.attribute("window")))
    seen = e.Or(near, e.Unsqueeze(everywhere, ints(1, 2)))
    masking = e.Unsqueeze(mask, ints(1, 2))
    local = _weighed(e, q, k, v, hidden(e, seen, lowest(e), masking))
    full = _weighed(e, *own, masking)
    y = e.Where(e.Unsqueeze(everywhere, ints(1, 3)), full, local)
    masked = e.Unsqueeze(e.Less(mask, e.zero()), ints(1, 3))
    return merged(e, e.Where(masked, e.zero(), y))


def _by_heads(
    e: Ops, op: Op, x: Value, weights: Value, bias: Value, at: int
) -> tuple[Value, Value, Value]:
    """Scaled queries, keys and values by heads; weights are input `at`, the bias the next one."""
    count = int(op.attribute("num_heads"))
    projected, sizes = projections(e, op, x, weights, bias, at)
    q, k, v = (heads(e, part, count) for part in projected)
    return scaled(e, q, None, sizes[0] // count), k, v


def _weighed(e: Ops, q: Value, k: Value, v: Value, added: Value) -> Value:
    """Attention of scaled q, k and v by heads; something is added to the scores."""
    return weighed(e, softmax(e, e.Add(products(e, q, k), added)), v)
