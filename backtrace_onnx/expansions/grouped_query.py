"""Attention of language models whose heads share keys and values, with a cache of earlier ones.

The cache is a buffer whose length is not the number of tokens in it: of sample i it holds
`seqlens_k[i] + 1` minus the new tokens (GroupQueryAttention in onnxruntime's ContribOperators.md).
New keys are not written into it but put behind it; every key then has a position, by which it is
masked and biased.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backtrace_onnx.expansions import attention_core as core
from backtrace_onnx.expansions.phrases import named
from backtrace_onnx.expansions.positions import angles, rotated
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, ints, microsoft

_NEVER = np.int64(1 << 40)
"""A position later than all queries."""

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
    features = op.size(0) // (count if x.key is not None else count + 2 * few)
    q, k, v = x.query, x.key, x.value
    if k is None:  # then the query holds all three
        widths = ints(count * features, few * features, few * features)
        q, k, v = e.Split(q, widths, axis=-1, outputs=3)
    q, k, v = (core.heads(e, y, n) for y, n in ((q, count), (k, few), (v, few)))
    totals = e.Reshape(e.int64(x.seqlens_k), ints(-1, 1))
    past = e.Max(totals + ints(1) - e.length(q), ints(0))  # earlier tokens [samples, 1]
    queries = past + e.places(e.length(q))  # positions [samples, queries]
    q, k = _turned(e, op, x, q, k, queries, features)
    k, v = core.joined(e, x.past_key, k), core.joined(e, x.past_value, v)
    at, added = queries, x.added
    if x.past_key is not None:
        index = e.places(e.length(x.past_key))
        at = e.Concat(e.Where(index < past, index, _NEVER), queries, axis=1)
        added = None if added is None else _by_place(e, added, at)
    sink = x.sink
    if sink is None and op.attribute("smooth_softmax", 0) == 1:  # one more key, whose score is 0
        sink = np.zeros(count, e.dtype)
    masked = added, core.hidden(e, _kept(e, op, at, queries))
    y, _ = core.attend(e, op, q, k, v, *masked, size=features, sink=sink, groups=groups)
    present = [
        _present(e, made, buffer, past, x.total) if op.names(i) and buffer is not None else made
        for i, made, buffer in ((1, k, x.past_key), (2, v, x.past_value))
    ]
    return core.merged(e, y), *present


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
    half, pairs = op.known_size(op.place(x.cos)), bool(op.attribute("rotary_interleaved", 0))
    turned = None if half is None or 2 * half == features else 2 * half
    q, k = (rotated(e, y, cos, sin, pairs=pairs, size=turned) for y in (q, k))
    return q, k


def _kept(e: Ops, op: Op, at: Value, queries: Value) -> Value:
    """bool[samples, 1, queries, keys]: which keys each query sees."""
    keys, queries = e.Unsqueeze(at, ints(1, 2)), e.Unsqueeze(queries, ints(1, 3))
    if not op.attribute("causal", 1):
        return core.seen(e, keys, queries, ends=_NEVER)
    window = op.attribute("local_window_size", -1)  # keys that a query sees, itself among them
    return core.seen(e, keys, queries, left=max(window - 1, -1), right=0)


def _by_place(e: Ops, added: Value, at: Value) -> Value:
    """What is added to the scores, by key as it stands instead of by position."""
    index = e.Unsqueeze(e.Min(at, e.Shape(added, start=3) - ints(1)), ints(1, 2))
    samples, keys = e.Shape(at, end=1), e.Shape(at, start=1)
    whole = e.Expand(added, e.Concat(samples, ints(1, 1, 1), axis=0))
    shape = e.Concat(samples, e.Shape(added, start=1, end=3), keys, axis=0)
    return e.GatherElements(whole, e.Expand(index, shape), axis=3)


def _present(e: Ops, x: Value, buffer: Value, past: Value, total: Value) -> Value:
    """Keys or values in the order of their positions, as long as the buffer at least."""
    held = e.length(buffer)
    index = e.places(e.Max(held, e.Reshape(e.int64(total), ints())))
    source = e.Where(index < past, index, index - past + held)
    source = e.Unsqueeze(e.Min(source, e.length(x) - np.int64(1)), ints(1, 3))
    shape = e.Concat(e.Shape(x, end=2), e.Shape(index), e.Shape(x, start=3, end=4), axis=0)
    made = e.GatherElements(x, e.Expand(source, shape), axis=2)
    filled = index < past + (e.length(x) - held)
    return e.Where(e.Unsqueeze(filled, ints(1, 3)), made, e.zero())
