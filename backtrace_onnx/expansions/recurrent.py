"""Recurrent operators whose samples come first, which onnxruntime does not run."""

from __future__ import annotations

from collections.abc import Sequence

from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion

_STATES = (5, 6)  # where the first states stand among the inputs


@expansion("GRU", "LSTM", "RNN", when="layout")
def samples_first(e: Ops, op: Op, *inputs: Value | None) -> tuple[Value, ...]:
    """The operator with the steps first, between transpositions."""
    attributes = {name: x for name, x in op.node.attributes.items() if name != "layout"}
    turned = [_turned(e, x, (1, 0, 2)) if i in (0, *_STATES) else x for i, x in enumerate(inputs)]
    count = 3 if op.node.op_type == "LSTM" else 2
    y, *states = e.op(op.node.op_type, turned, attributes, outputs=count)
    return _turned(e, y, (2, 0, 1, 3)), *(_turned(e, state, (1, 0, 2)) for state in states)


def _turned(e: Ops, x: Value | None, perm: Sequence[int]) -> Value:
    """x with its axes in another order; None where it is left out."""
    return None if x is None else e.Transpose(x, perm=perm)
