"""Gated activations: one half of a projection decides how much of the other half passes."""

from __future__ import annotations

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.phrases import halves, size_of, swish
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints


def swish_gated(
    e: Ops, op: Op, gate: Value, up: Value, *, limit: float | None, after: bool = False
) -> Value:
    """gate * sigmoid(alpha gate) * (up + beta), both halves clamped.

    Args:
        limit: the gate's greatest value, and the greatest magnitude of the other half.
        after: the gate is clamped when it is activated, not before.
    """
    beta = op.attribute("activation_beta", 0.0)
    if limit is not None:
        gate = gate if after else e.Clip(gate, None, e.scalar(limit))
        up = e.Clip(up, e.scalar(-limit), e.scalar(limit))
    opened = swish(e, gate, op.attribute("activation_alpha", 1.0))
    if limit is not None and after:
        opened = e.Clip(opened, None, e.scalar(limit))
    return e.Mul(opened, e.Add(up, e.scalar(beta)) if beta else up)


def _limit(op: Op) -> float | None:
    """The limit of SwiGLU; zero or less is none."""
    limit = op.attribute("limit", 0.0)
    return limit if limit > 0 else None


@microsoft("SwiGLU")
def swiglu(e: Ops, op: Op, gate: Value, up: Value = None) -> Value:
    """gate * sigmoid(alpha gate) * (up + beta); one input holds the gate and then the rest."""
    if up is None:
        gate, up = halves(e, gate)
    return swish_gated(e, op, gate, up, limit=_limit(op))


@microsoft("RouterGateUpProj")
def router_gate_up(e: Ops, op: Op, x: Value, weight: Value) -> tuple[Value, Value]:
    """One product, split into the router's logits and the two halves of a SwiGLU."""
    kind, router = op.attribute("activation", "swiglu"), op.attribute("router_size")
    if kind != "swiglu":
        raise RuleError(f"its activation {kind!r} has no expansion")
    inner = (size_of(op, 1) - router) // 2
    logits, gate, up = e.Split(e.MatMul(x, weight), ints(router, inner, inner), axis=-1, outputs=3)
    return logits, swish_gated(e, op, gate, up, limit=_limit(op))
