"""Attention of language models whose heads share keys and values, with a cache of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attending import (
    INT64,
    capped,
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
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.expansions.rotary import angles, rotated
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
_NEVER = np.int64(1 << 40)
"""A position later than all queries."""

_INPUTS = (
    *("query", "key", "value", "past_key", "past_value", "seqlens_k", "total", "cos", "sin"),
    *("positions", "added", "sink", "k_scale", "v_scale", "q_norm", "k_norm"),
    "query_seqlens",
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


@expansion("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(e: Ops, op: Op, *given: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v; several heads share the keys and values of one."""
    inputs = dict(zip(_INPUTS, given, strict=False))
    _check(op, inputs)
    count, few = int(op.attribute("num_heads")), int(op.attribute("kv_num_heads"))
    q, k, v = _heads(e, op, inputs, count, few)
    past_key, past_value = inputs.get("past_key"), inputs.get("past_value")
    cache = _cache(e, inputs, length(e, q))
    q, k = _placed(e, op, inputs, q, k, cache)
    if past_key is not None:
        k, v = e.Concat(past_key, k, axis=2), e.Concat(past_value, v, axis=2)
    groups = None if count == few else (count, few)
    q = scaled(e, q, float(op.attribute("scale", 0.0)), _size(op, count, few))
    scores = products(e, q, k, groups)
    scores = capped(e, scores, float(op.attribute("softcap", 0.0)))
    added = inputs.get("added")
    if added is not None:
        scores = e.Add(scores, _by_place(e, added, cache))
    scores = e.Add(scores, hidden(e, _kept(e, op, cache), lowest(e)))
    a = softmax(e, scores, _sink(e, op, inputs.get("sink"), count))
    y = merged(e, weighed(e, a, v, groups))
    present = (
        _present(e, x, cache, inputs["total"]) if op.names(i) else None
        for i, x in enumerate((k, v), start=1)
    )
    return y, *present


def _check(op: Op, inputs: dict[str, Value]) -> None:
    """Raises RuleError for what has no expansion."""
    quantised = {op.attribute(f"{x}_quant_type", "NONE") for x in "kv"} != {"NONE"}
    for used, what in (
        (quantised, "a quantised cache"),
        (op.attribute("sliding_window_cache", 0), "a cache that holds a window"),
        (op.attribute("qk_output", 0) and op.names(3), "its output of the scores"),
        (inputs.get("q_norm") is not None, "a normalisation that onnxruntime's CPU does not run"),
        (inputs.get("query_seqlens") is not None, "queries that are padded on the right"),
        (inputs.get("value") is None and inputs.get("key") is not None, "a key without value"),
    ):
        if used:
            raise RuleError(f"{what} has no expansion")


def _size(op: Op, count: int, few: int) -> int:
    """Features of a head. Raises RuleError where they are not known."""
    shape = op.type(0).shape
    if not shape or not isinstance(shape[-1], int):
        raise RuleError("the number of features of its query is not known")
    return int(shape[-1]) // (count if op.has(1) else count + 2 * few)


def _heads(
    e: Ops, op: Op, inputs: dict[str, Value], count: int, few: int
) -> tuple[Value, Value, Value]:
    """Queries, keys and values by heads, unpacked."""
    q, k, v = (inputs.get(name) for name in ("query", "key", "value"))
    if k is None:
        size = _size(op, count, few)
        sizes = ints(count * size, few * size, few * size)
        q, k, v = e.Split(q, sizes, axis=-1, outputs=3)
    return heads(e, q, count), heads(e, k, few), heads(e, v, few)


def _cache(e: Ops, inputs: dict[str, Value], tokens: Value) -> _Cache:
    totals = e.Reshape(e.Cast(inputs["seqlens_k"], to=INT64), ints(-1, 1))
    past = e.Max(e.Sub(e.Add(totals, ints(1)), tokens), ints(0))
    queries = e.Add(past, places(e, tokens))
    buffer = inputs.get("past_key")
    if buffer is None:
        return _Cache(past, queries, queries, None)
    size = length(e, buffer)
    index = places(e, size)
    held = e.Where(e.Less(index, past), index, _NEVER)
    return _Cache(past, e.Concat(held, queries, axis=1), queries, size)


def _placed(
    e: Ops, op: Op, inputs: dict[str, Value], q: Value, k: Value, cache: _Cache
) -> tuple[Value, Value]:
    """Queries and new keys turned by their positions, if they are to be."""
    if not op.attribute("do_rotary", 0):
        return q, k
    positions = inputs.get("positions")
    at = cache.queries if positions is None else positions
    cos, sin = (angles(e, inputs[name], at) for name in ("cos", "sin"))
    pairs, size = bool(op.attribute("rotary_interleaved", 0)), _turned_size(op)
    turned = (rotated(e, x, cos, sin, pairs=pairs, size=size) for x in (q, k))
    new_q, new_k = turned
    return new_q, new_k


def _turned_size(op: Op) -> int | None:
    """How many features of a head are turned, where fewer than all."""
    table = op.type(_INPUTS.index("cos")).shape
    count, few = int(op.attribute("num_heads")), int(op.attribute("kv_num_heads"))
    if not table or not isinstance(table[-1], int):
        return None
    turned = 2 * int(table[-1])
    return None if turned == _size(op, count, few) else turned


def _kept(e: Ops, op: Op, cache: _Cache) -> Value:
    """bool[samples, 1, queries, keys]: which keys each query sees."""
    keys = e.Unsqueeze(cache.at, ints(1, 2))
    queries = e.Unsqueeze(cache.queries, ints(1, 3))
    if not op.attribute("causal", 1):
        return e.Less(keys, e.Add(e.Mul(queries, ints(0)), _NEVER))
    keep = e.LessOrEqual(keys, queries)
    window = int(op.attribute("local_window_size", -1))
    if window < 0:
        return keep
    return e.And(keep, e.Greater(keys, e.Sub(queries, ints(window))))


def _by_place(e: Ops, added: Value, cache: _Cache) -> Value:
    """What is added to the scores, by key as it stands instead of by position."""
    if cache.size is None:
        return added
    last = e.Sub(e.Shape(added, start=3), ints(1))
    index = e.Unsqueeze(e.Min(cache.at, last), ints(1, 2))
    shape = e.Concat(
        e.Shape(cache.at, end=1), e.Shape(added, start=1, end=3), e.Shape(cache.at, start=1), axis=0
    )
    whole = e.Expand(added, e.Concat(e.Shape(cache.at, end=1), ints(1, 1, 1), axis=0))
    return e.GatherElements(whole, e.Expand(index, shape), axis=3)


def _sink(e: Ops, op: Op, sink: Value, count: int) -> Value:
    if sink is None and int(op.attribute("smooth_softmax", 0)) == 1:
        return np.zeros(count, e.dtype)
    return sink


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
