"""Attention of ai.onnx: its schema body, in fewer operators and for every set of inputs."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions import attention_core as core
from backtrace_onnx.expansions.phrases import BOOL, named
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, ints

_WEIGHTS = 3  # qk_matmul_output_mode: after the softmax


@expansion("Attention")
def attention(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v; several heads may share the keys and values of one."""
    x = named("query key value mask past_key past_value filled", inputs)
    by_heads, size = op.rank(0) == 4, op.known_size(0)
    if by_heads:
        groups = op.size(0, 1), op.size(1, 1)
        q, k, v = x.query, x.key, x.value
    else:
        groups = op.attribute("q_num_heads"), op.attribute("kv_num_heads")
        size = size and size // groups[0]
        q, (k, v) = (
            core.heads(e, x.query, groups[0]),
            (core.heads(e, y, groups[1]) for y in (x.key, x.value)),
        )
    k, v = core.joined(e, x.past_key, k), core.joined(e, x.past_value, v)
    masking, seeing = _masking(e, op, x.mask, _kept(e, op, q, k, x.past_key, x.filled))
    y, scores = core.attend(e, op, q, k, v, masking, size=size, groups=groups)
    mode = op.attribute("qk_matmul_output_mode", 0)
    shown = scores[mode]
    if seeing is not None:  # else the softmax of equal scores would spread evenly
        y = e.Where(seeing, y, e.zero())
        shown = e.Where(seeing, shown, e.zero()) if mode == _WEIGHTS else shown
    return y if by_heads else core.merged(e, y), k, v, shown


def _masking(e: Ops, op: Op, mask: Value, keep: Value) -> tuple[Value, Value]:
    """What masks add to the scores, and which queries see any key; None where all do."""
    if mask is None and (keep is None or (not op.has(6) and _windows(op)[0] < 0)):
        return None if keep is None else core.hidden(
            e, keep
        ), None  # all see the first key at least
    added, finite = None, mask
    if mask is not None and op.type(op.place(mask)).dtype != BOOL:
        added, finite = e.Max(mask, core.lowest(e)), e.Not(e.IsInf(mask, detect_positive=0))
    both = finite if keep is None else keep if finite is None else keep & finite
    sees = e.Cast(e.ReduceMax(e.int32(both), ints(-1), keepdims=1), to=BOOL)
    hides = both if added is None else keep
    return added if hides is None else core.hidden(e, hides, otherwise=added), sees


def _windows(op: Op) -> tuple[int, int]:
    """How many keys before and behind its own place a query sees; -1 for all of them."""
    left, right = (int(op.attribute(f"{side}_window_size", -1)) for side in ("left", "right"))
    return left, 0 if op.attribute("is_causal", 0) else right


def _kept(e: Ops, op: Op, q: Value, k: Value, past: Value, filled: Value) -> Value:
    """Which keys are filled, not later than their query where that counts, and in its window.

    None: all are. The first query stands behind the past or, in a cache that is not given apart,
    before the end of what is filled.
    """
    first, ends = np.int64(0) if past is None else e.length(past), None
    if filled is not None:
        ends = e.Reshape(e.int64(filled), ints(-1, 1, 1, 1))
        first = ends - e.length(q) if past is None else first
    queries = e.Unsqueeze(e.places(e.length(q)), ints(1)) + first
    left, right = _windows(op)
    return core.seen(e, e.places(e.length(k)), queries, left=left, right=right, ends=ends)
