"""Attention of language models whose heads share keys and values, with a cache of earlier ones.

The cache is a buffer whose length is not the number of tokens in it: of sample i it holds
`seqlens_k[i] + 1` minus the new tokens (GroupQueryAttention in onnxruntime's ContribOperators.md).
New keys are not written into it but put behind it; every key then has a position, by which it is
masked and biased.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attention_core import attend, heads, hidden, joined, length, merged
from backtrace_onnx.expansions.phrases import INT64, known_size, named, place, places, size_of
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.expansions.rotary import angles, rotated
from backtrace_onnx.ops.vocabulary import ints

_NEVER = np.int64(1 << 40)
"""A position later than all queries."""

_INPUTS = (
    "query key value past_key past_value seqlens_k total cos sin positions added sink k_scale "
    "v_scale q_norm k_norm query_seqlens"
)


@dataclass(frozen=True)
class _Cache:
    """Where keys stand: all of the buffer of earlier ones first, then the new ones.

    Attributes:
        past: number of earlier tokens, int64[samples, 1].
        at: position of every key, int64[samples, keys]; what the buffer does not hold: never.
        queries: position of every query, int64[samples, queries].
        size: keys in the buffer, a scalar; None where there is none.
    """

    past: Value
    at: Value
    queries: Value
    size: Value


@microsoft("GroupQueryAttention")
def group_query_attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v; several heads share the keys and values of one."""
    x = named(_INPUTS, inputs)
    _refuse(op, x)
    count, few = groups = op.attribute("num_heads"), op.attribute("kv_num_heads")
    features = size_of(op, 0) // (count if x.key is not None else count + 2 * few)
    q, k, v = x.query, x.key, x.value
    if k is None:  # then the query holds all three
        q, k, v = e.Split(
            q, ints(count * features, few * features, few * features), axis=-1, outputs=3
        )
    q, k, v = (heads(e, y, n) for y, n in ((q, count), (k, few), (v, few)))
    cache = _cache(e, x, length(e, q))
    q, k = _turned(e, op, x, q, k, cache, features)
    k, v = joined(e, x.past_key, k), joined(e, x.past_value, v)
    added = None if x.added is None else _by_place(e, x.added, cache)
    sink = x.sink
    if sink is None and op.attribute("smooth_softmax", 0) == 1:  # one more key, whose score is 0
        sink = np.zeros(count, e.dtype)
    scale, cap = op.attribute("scale"), op.attribute("softcap", 0.0)
    masking = hidden(e, _kept(e, op, cache))
    y = attend(
        *(e, q, k, v, added, masking), scale=scale, size=features, cap=cap, sink=sink, groups=groups
    ).y
    present = (_present(e, y, cache, x.total) if op.names(i) else None for i, y in ((1, k), (2, v)))
    return merged(e, y), *present


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


def _cache(e: Ops, x: SimpleNamespace, tokens: Value) -> _Cache:
    """Where the keys of a cache and as many new ones as there are tokens stand."""
    totals = e.Reshape(e.Cast(x.seqlens_k, to=INT64), ints(-1, 1))
    past = e.Max(e.Sub(e.Add(totals, ints(1)), tokens), ints(0))
    queries = e.Add(past, places(e, tokens))
    if x.past_key is None:
        return _Cache(past, queries, queries, None)
    buffer = length(e, x.past_key)
    index = places(e, buffer)
    held = e.Where(e.Less(index, past), index, _NEVER)
    return _Cache(past, e.Concat(held, queries, axis=1), queries, buffer)


def _turned(
    e: Ops, op: Op, x: SimpleNamespace, q: Value, k: Value, cache: _Cache, features: int
) -> tuple[Value, Value]:
    """Queries and new keys turned by their positions, if they are to be."""
    if not op.attribute("do_rotary", 0):
        return q, k
    at = cache.queries if x.positions is None else x.positions
    cos, sin = (angles(e, table, at) for table in (x.cos, x.sin))
    half, pairs = known_size(op, place(op, x.cos)), bool(op.attribute("rotary_interleaved", 0))
    turned = None if half is None or 2 * half == features else 2 * half
    q, k = (rotated(e, y, cos, sin, pairs=pairs, size=turned) for y in (q, k))
    return q, k


def _kept(e: Ops, op: Op, cache: _Cache) -> Value:
    """bool[samples, 1, queries, keys]: which keys each query sees."""
    keys = e.Unsqueeze(cache.at, ints(1, 2))
    queries = e.Unsqueeze(cache.queries, ints(1, 3))
    if not op.attribute("causal", 1):
        return e.Less(keys, e.Add(e.Mul(queries, ints(0)), _NEVER))
    keep = e.LessOrEqual(keys, queries)
    window = op.attribute("local_window_size", -1)  # keys that a query sees, itself among them
    if window < 0:
        return keep
    return e.And(keep, e.Greater(keys, e.Sub(queries, ints(window))))


def _by_place(e: Ops, added: Value, cache: _Cache) -> Value:
    """What is added to the scores, by key as it stands instead of by position."""
    if cache.size is None:
        return added
    last = e.Sub(e.Shape(added, start=3), ints(1))
    index = e.Unsqueeze(e.Min(cache.at, last), ints(1, 2))
    samples, keys = e.Shape(cache.at, end=1), e.Shape(cache.at, start=1)
    whole = e.Expand(added, e.Concat(samples, ints(1, 1, 1), axis=0))
    shape = e.Concat(samples, e.Shape(added, start=1, end=3), keys, axis=0)
    return e.GatherElements(whole, e.Expand(index, shape), axis=3)


def _present(e: Ops, x: Value, cache: _Cache, total: Value) -> Value:
    """Keys or values in the order of their positions, as long as the buffer at least."""
    if cache.size is None:
        return x
    asked = e.Reshape(e.Cast(total, to=INT64), ints())
    index = places(e, e.Max(cache.size, asked))
    new = e.Add(e.Sub(index, cache.past), cache.size)
    last = e.Sub(e.Shape(x, start=2, end=3), ints(1))
    source = e.Min(e.Where(e.Less(index, cache.past), index, new), last)
    shape = e.Concat(e.Shape(x, end=2), e.Shape(index), e.Shape(x, start=3, end=4), axis=0)
    made = e.GatherElements(x, e.Expand(e.Unsqueeze(source, ints(1, 3)), shape), axis=2)
    filled = e.Less(index, e.Add(cache.past, e.Shape(cache.queries, start=1)))
    return e.Where(e.Unsqueeze(filled, ints(1, 3)), made, e.zero())
