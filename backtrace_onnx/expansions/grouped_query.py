"""Attention of language models whose heads share keys and values, with a cache of earlier ones.

The cache is a buffer whose length is not the number of tokens in it: of sample i it holds
`seqlens_k[i] + 1` minus the new tokens (GroupQueryAttention in onnxruntime's ContribOperators.md).
New keys are put behind those; the place of a key is then its position.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backtrace_onnx.expansions.attention_core import attend, heads, hidden, merged
from backtrace_onnx.expansions.phrases import (
    INT64,
    known_size,
    length,
    named,
    place,
    places,
    size_of,
)
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, ints, microsoft
from backtrace_onnx.expansions.rotary import angles, rotated

_INPUTS = (
    "query key value past_key past_value seqlens_k total cos sin positions added sink k_scale "
    "v_scale q_norm k_norm query_seqlens"
)


@microsoft("GroupQueryAttention")
def group_query_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v; several heads share the keys and values of one."""
    x = named(_INPUTS, inputs)
    _refuse(op, x)
    count, few = groups = op.attribute("num_heads"), op.attribute("kv_num_heads")
    features = size_of(op, 0) // (count if x.key is not None else count + 2 * few)
    q, k, v = x.query, x.key, x.value
    if k is None:  # then the query holds all three
        widths = ints(count * features, few * features, few * features)
        q, k, v = e.Split(q, widths, axis=-1, outputs=3)
    q, k, v = (heads(e, y, n) for y, n in ((q, count), (k, few), (v, few)))
    totals = e.Reshape(e.Cast(x.seqlens_k, to=INT64), ints(-1, 1))
    past = e.Max(totals + ints(1) - length(e, q), ints(0))  # earlier tokens [samples, 1]
    queries = past + places(e, length(e, q))  # positions [samples, queries]
    q, k = _turned(e, op, x, q, k, queries, features)
    keys, values = present = [k, v]
    if x.past_key is not None:
        asked = e.Reshape(e.Cast(x.total, to=INT64), ints(1))
        present = [_cached(e, *y, past, asked) for y in ((x.past_key, k), (x.past_value, v))]
        keys, values = (e.Slice(y, ints(0), asked, ints(2)) for y in present)
    sink = x.sink
    if sink is None and op.attribute("smooth_softmax", 0) == 1:  # one more key, whose score is 0
        sink = np.zeros(count, e.dtype)
    options = {"scale": op.attribute("scale"), "cap": op.attribute("softcap", 0.0)}
    masking = hidden(e, _kept(e, op, queries, length(e, keys)))
    made = attend(
        *(e, q, keys, values, x.added, masking), size=features, sink=sink, groups=groups, **options
    )
    return merged(e, made.y), *present


def _refuse(op: Op, x: SimpleNamespace) -> None:
    """Raises RuleError for what has no expansion."""
    quantised = {op.attribute(f"{x}_quant_type", "NONE") for x in "kv"} != {"NONE"}
    for used, what in (
        (quantised, "a quantised cache"),
        (op.attribute("sliding_window_cache", 0), "a cache that holds a window"),
        (op.attribute("qk_output", 0) and op.names(3), "its output of the scores"),
        (x.q_norm is not None, "a normalisation that onnxruntime's CPU does not run"),
        (x.query_seqlens is not None, "queries that are padded on the right"),
        (x.value is None and x.key is not None, "a key without value"),
    ):
        if used:
            raise RuleError(f"{what} has no expansion")


def _turned(
    e: Ops, op: Op, x: SimpleNamespace, q: Value, k: Value, queries: Value, features: int
) -> tuple[Value, Value]:
    """Queries and new keys turned by their positions, if they are to be."""
    if not op.attribute("do_rotary", 0):
        return q, k
    at = queries if x.positions is None else x.positions
    cos, sin = (angles(e, table, at) for table in (x.cos, x.sin))
    half, pairs = known_size(op, place(op, x.cos)), bool(op.attribute("rotary_interleaved", 0))
    turned = None if half is None or 2 * half == features else 2 * half
    q, k = (rotated(e, y, cos, sin, pairs=pairs, size=turned) for y in (q, k))
    return q, k


def _kept(e: Ops, op: Op, queries: Value, count: Value) -> Value:
    """bool[samples, 1, queries, keys]: which of so many keys each query sees."""
    keys, at = places(e, count), e.Unsqueeze(queries, ints(1, 3))
    if not op.attribute("causal", 1):  # all that there are, of which the last query's is the last
        return keys <= e.ReduceMax(at, ints(2), keepdims=1)
    window = op.attribute("local_window_size", -1)  # keys that a query sees, itself among them
    return keys <= at if window < 0 else (keys <= at) & (keys > at - ints(window))


def _cached(e: Ops, buffer: Value, new: Value, past: Value, asked: Value) -> Value:
    """Keys or values by position, as many as are asked for or the buffer holds; 0 where none is."""
    held, tokens = length(e, buffer), length(e, new)
    index = places(e, e.Squeeze(e.Max(held, asked), ints(0)))
    source = e.Where(index < past, index, e.Min(index - past, tokens - np.int64(1)) + held)
    x = e.Concat(buffer, new, axis=2)
    shape = e.Concat(e.Shape(x, end=2), e.Shape(index), e.Shape(x, start=3, end=4), axis=0)
    made = e.GatherElements(x, e.Expand(e.Unsqueeze(source, ints(1, 3)), shape), axis=2)
    return e.Where(e.Unsqueeze(index < past + tokens, ints(1, 3)), made, e.zero())
