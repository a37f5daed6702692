"""Attention within a window, with some tokens that see all and are seen by all."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.attention import projections
from backtrace_onnx.expansions.attention_core import attend, heads, hidden, length, merged
from backtrace_onnx.expansions.phrases import named, places
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints


@microsoft("LongformerAttention")
def longformer_attention(e: Ops, op: Op, *inputs: Value) -> Value:
    """Softmax(q k^T * scale + mask) v over a window and the global tokens, over all for these.

    Beltagy, Peters and Cohan, Longformer (2020). Written densely: its cost grows with the square
    of the length. Masked tokens attend to nothing.
    """
    x = named("x weights bias mask global_weights global_bias flags", inputs)
    count = op.attribute("num_heads")

    def by_heads(weights: Value, bias: Value) -> tuple[list[Value], int]:
        projected, features = projections(e, op, x.x, weights, bias)
        return [heads(e, part, count) for part in projected], features[0] // count

    (qkv, size), (global_qkv, global_size) = (
        by_heads(*layer) for layer in ((x.weights, x.bias), (x.global_weights, x.global_bias))
    )
    at = places(e, length(e, qkv[0]))
    apart = e.Abs(e.Sub(e.Unsqueeze(at, ints(0)), e.Unsqueeze(at, ints(1))))
    near = e.LessOrEqual(apart, np.int64(op.attribute("window")))
    everywhere = e.Greater(x.flags, np.int32(0))
    seen, masking = e.Or(near, e.Unsqueeze(everywhere, ints(1, 2))), e.Unsqueeze(x.mask, ints(1, 2))
    local = attend(e, *qkv, hidden(e, seen, otherwise=masking), size=size).y
    full = attend(e, *global_qkv, masking, size=global_size).y
    y = e.Where(e.Unsqueeze(everywhere, ints(1, 3)), full, local)
    masked = e.Unsqueeze(e.Less(x.mask, e.zero()), ints(1, 3))
    return merged(e, e.Where(masked, e.zero(), y))
