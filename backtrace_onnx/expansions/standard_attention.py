"""Attention of ai.onnx: its schema body, in fewer operators and for every set of inputs."""

from __future__ import annotations

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
from backtrace_onnx.ops.vocabulary import ints

QUERY, KEY, VALUE, MASK, PAST_KEY, PAST_VALUE, FILLED = range(7)
INT32, _BOOL = 6, 9


@expansion("Attention")
def attention(e: Ops, op: Op, *given: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v; several heads may share the keys and values of one."""
    inputs = [*given, *[None] * 7][:7]
    laid = op.rank(QUERY) == 4
    count, few = _counts(op, laid)
    q, k, v = inputs[:3] if laid else _by_heads(e, inputs, count, few)
    past = None if inputs[PAST_KEY] is None else length(e, inputs[PAST_KEY])
    if past is not None:
        k = e.Concat(inputs[PAST_KEY], k, axis=2)
        v = e.Concat(inputs[PAST_VALUE], v, axis=2)
    groups = None if count == few else (count, few)
    q = scaled(e, q, op.attribute("scale"), _size(op, laid, count))
    raw = products(e, q, k, groups)
    capped_scores = capped(e, raw, float(op.attribute("softcap", 0.0)))
    masking, seeing = _mask(e, op, inputs, q, k, past)
    masked = capped_scores if masking is None else e.Add(capped_scores, masking)
    a = softmax(e, masked)
    y = weighed(e, a, v, groups)
    if seeing is not None:
        y = e.Where(seeing, y, e.zero())
    shown = (raw, capped_scores, masked, a)[int(op.attribute("qk_matmul_output_mode", 0))]
    return y if laid else merged(e, y), k, v, shown


def _counts(op: Op, laid: bool) -> tuple[int, int]:
    """Heads of the queries and of the keys. Raises RuleError where they are not known."""
    if not laid:
        return int(op.attribute("q_num_heads")), int(op.attribute("kv_num_heads"))
    q, k = ((op.type(i).shape or (None, None))[1] for i in (QUERY, KEY))
    if not isinstance(q, int) or not isinstance(k, int):
        raise RuleError("the numbers of its heads are not known")
    return q, k


def _by_heads(e: Ops, inputs: list[Value], count: int, few: int) -> list[Value]:
    given = zip(inputs[:3], (count, few, few), strict=True)
    return [heads(e, x, number) for x, number in given]


def _size(op: Op, laid: bool, count: int) -> int | None:
    """Features of a head, if known."""
    last = (op.type(QUERY).shape or (None,))[-1]
    if not isinstance(last, int):
        return None
    return last if laid else last // count


def _mask(
    e: Ops, op: Op, inputs: list[Value], q: Value, k: Value, past: Value
) -> tuple[Value, Value]:
    """What masks add to the scores, and which queries see any key; None where all do."""
    mask, keep = inputs[MASK], _kept(e, op, inputs[FILLED], q, k, past)
    if mask is not None and op.type(MASK).dtype == _BOOL:
        keep = mask if keep is None else e.And(mask, keep)
        seen = e.ReduceMax(e.Cast(keep, to=INT32), ints(-1), keepdims=1)
        return hidden(e, keep, lowest(e)), e.Cast(seen, to=_BOOL)
    made = seen = None
    if mask is not None:
        made = e.Max(mask, lowest(e))
        seen = e.Not(e.IsInf(e.ReduceMax(mask, ints(-1), keepdims=1)))
    return made if keep is None else hidden(e, keep, lowest(e), made), seen


def _kept(e: Ops, op: Op, filled: Value, q: Value, k: Value, past: Value) -> Value:
    """Which keys are neither beyond what is filled nor later than their query."""
    at = places(e, length(e, k))
    keep = first = None
    if filled is not None:
        ends = e.Reshape(e.Cast(filled, to=INT64), ints(-1, 1, 1, 1))
        keep = e.Less(at, ends)
    if op.attribute("is_causal", 0):
        first = np.int64(0) if past is None else past
        if filled is not None and past is None:
            first = e.Sub(ends, length(e, q))
        queries = e.Add(e.Unsqueeze(places(e, length(e, q)), ints(1)), first)
        earlier = e.LessOrEqual(at, queries)
        keep = earlier if keep is None else e.And(keep, earlier)
    return keep
