"""Routers of mixtures of experts: which experts a token goes to, and with what weight."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attending import lowest
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
FLOAT = 1
_LEAST = np.float32(1e-20)


@expansion("MoEGroupRouter", domain=MICROSOFT)
def group_router(
    e: Ops, op: Op, logits: Value, bias: Value, weight: Value = None
) -> tuple[Value, ...]:
    """Log of the logits' sigmoid at the experts chosen from the best groups; else a sentinel."""
    shape = op.type(1).shape
    if not shape or not isinstance(shape[0], int):
        raise RuleError("the number of its experts is not known")
    if weight is not None:
        logits = e.MatMul(logits, e.Transpose(weight, perm=[1, 0]))
    rows = e.Reshape(e.Cast(logits, to=FLOAT), ints(-1, shape[0]))
    shares = e.Sigmoid(rows)
    scores = e.Add(shares, bias)
    named = [*op.node.outputs, "", "", ""]
    routed = _routed(e, op, shares, scores, shape[0]) if named[0] else None
    return routed, scores if named[1] else None, shares if named[2] else None


def _routed(e: Ops, op: Op, shares: Value, scores: Value, experts: int) -> Value:
    groups = int(op.attribute("n_group", 1))
    if groups > 1:
        scores = _of_best_groups(e, op, scores, experts, groups)
    _, chosen = e.TopK(scores, ints(int(op.attribute("top_k"))), axis=-1, outputs=2)
    logs = e.Log(e.Max(shares, _LEAST))
    sentinel = np.float32(op.attribute("router_sentinel", -10000.0))
    elsewhere = e.Expand(sentinel, e.Shape(shares))
    made = e.ScatterElements(elsewhere, chosen, e.GatherElements(logs, chosen, axis=-1), axis=-1)
    return e.Cast(made, to=e.float_type)


def _of_best_groups(e: Ops, op: Op, scores: Value, experts: int, groups: int) -> Value:
    """Scores of the experts of the chosen groups; of all others the lowest number there is."""
    size = experts // groups
    grouped = e.Reshape(scores, ints(-1, groups, size))
    best, _ = e.TopK(grouped, ints(min(int(op.attribute("group_topk", 2)), size)), outputs=2)
    sums = e.ReduceSum(best, ints(-1), keepdims=0)
    _, kept = e.TopK(sums, ints(int(op.attribute("topk_group", 1))), axis=-1, outputs=2)
    nothing = e.Expand(np.float32(0), e.Shape(sums))
    ones = e.Expand(np.float32(1), e.Shape(kept))
    open_groups = e.Unsqueeze(e.ScatterElements(nothing, kept, ones, axis=-1), ints(-1))
    masked = e.Where(e.Greater(open_groups, np.float32(0.5)), grouped, lowest(e))
    return e.Reshape(masked, ints(-1, experts))
