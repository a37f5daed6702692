"""Attention of ai.onnx: its schema body, in fewer operators and for every set of inputs."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.attention_core import attend, heads, hidden, joined, lowest, merged
from backtrace_onnx.expansions.phrases import (
    BOOL,
    INT32,
    INT64,
    known_size,
    length,
    named,
    place,
    places,
    size_of,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, ints


@expansion("Attention")
def attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v; several heads may share the keys and values of one."""
    x = named("query key value mask past_key past_value filled", inputs)
    by_heads, size = op.rank(0) == 4, known_size(op, 0)
    if by_heads:
        groups = size_of(op, 0, 1), size_of(op, 1, 1)
        q, k, v = x.query, x.key, x.value
    else:
        groups = op.attribute("q_num_heads"), op.attribute("kv_num_heads")
        size = size and size // groups[0]
        q, (k, v) = heads(e, x.query, groups[0]), (heads(e, y, groups[1]) for y in (x.key, x.value))
    k, v = joined(e, x.past_key, k), joined(e, x.past_value, v)
    masking, seeing = _masking(e, op, x.mask, _kept(e, op, q, k, x.past_key, x.filled))
    scale, cap = op.attribute("scale"), op.attribute("softcap", 0.0)
    made = attend(e, q, k, v, masking, scale=scale, size=size, cap=cap, groups=groups)
    # A query that sees no key gets 0, where the softmax of equal scores would spread evenly.
    y = made.y if seeing is None else e.Where(seeing, made.y, e.zero())
    shown = made[1 + op.attribute("qk_matmul_output_mode", 0)]
    if seeing is not None and shown is made[-1]:
        shown = e.Where(seeing, shown, e.zero())
    return y if by_heads else merged(e, y), k, v, shown


def _masking(e: Ops, op: Op, mask: Value, keep: Value) -> tuple[Value, Value]:
    """What masks add to the scores, and which queries see any key; None where all do."""
    if mask is None and (keep is None or _sees_some(op)):
        return None if keep is None else hidden(e, keep), None
    added, finite = None, mask
    if mask is not None and op.type(place(op, mask)).dtype != BOOL:
        added, finite = e.Max(mask, lowest(e)), e.Not(e.IsInf(mask, detect_positive=0))
    both = _both(keep, finite)
    seen = e.Cast(e.ReduceMax(e.Cast(both, to=INT32), ints(-1), keepdims=1), to=BOOL)
    hides = both if added is None else keep
    return added if hides is None else hidden(e, hides, otherwise=added), seen


def _both(a: Value, b: Value) -> Value:
    """Where both conditions hold; None is no condition."""
    return (b if a is None else a) if a is None or b is None else a & b


def _sees_some(op: Op) -> bool:
    """Whether every query sees the first key at least, where there is no mask."""
    return not op.has(6) and max(_windows(op)) < 0


def _windows(op: Op) -> tuple[int, int]:
    """How many keys before and behind its own place a query sees; -1 for all of them."""
    left, right = (int(op.attribute(f"{side}_window_size", -1)) for side in ("left", "right"))
    return left, right


def _kept(e: Ops, op: Op, q: Value, k: Value, past: Value, filled: Value) -> Value:
    """Which keys are filled, not later than their query where that counts, and in its window.

    None: all are. The first query stands behind the past or, in a cache that is not given apart,
    before the end of what is filled.
    """
    at = places(e, length(e, k))
    first = np.int64(0) if past is None else length(e, past)
    keep = None
    if filled is not None:
        ends = e.Reshape(e.Cast(filled, to=INT64), ints(-1, 1, 1, 1))
        keep = at < ends
        first = ends - length(e, q) if past is None else first
    causal, (left, right) = bool(op.attribute("is_causal", 0)), _windows(op)
    if not causal and max(left, right) < 0:
        return keep
    queries = e.Unsqueeze(places(e, length(e, q)), ints(1)) + first
    if causal:
        keep = _both(keep, at <= queries)
    if left >= 0:
        keep = _both(keep, at >= queries - np.int64(left))
    if right >= 0:
        keep = _both(keep, at <= queries + np.int64(right))
    return keep
