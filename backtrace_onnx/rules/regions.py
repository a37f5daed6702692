"""What is read as one operator before any rule is looked up."""

from __future__ import annotations

from backtrace_onnx.graph.operator_families import DOMAIN, REGION, SCALE
from backtrace_onnx.ops.op import Op
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Passes, Structure


@rule(REGION, domain=DOMAIN)
def region(op: Op) -> Structure:
    """Nodes that are one function of one tensor together: relevance passes unchanged."""
    return Passes()


@rule(SCALE, domain=DOMAIN)
def scale(op: Op) -> Structure:
    """Constant scale and shift of a normalisation: relevance passes unchanged, as through it."""
    return Passes()
