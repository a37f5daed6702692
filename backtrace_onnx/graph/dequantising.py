"""Which floats the integers of a tensor stand for."""

from __future__ import annotations

from backtrace_onnx.graph.graph import Graph, Node


def dequantiser(graph: Graph, tensor: str) -> Node | None:
    """The node that reads a tensor as the floats it stands for, by constants; None if none does."""
    for node in graph.consumers.get(tensor, ()):
        if node.operator == "DequantizeLinear" and node.inputs[0] == tensor:
            return node if all(scale in graph.constants for scale in node.inputs[1:]) else None
    return None


def floats_read(graph: Graph, tensor: str) -> str | None:
    """What the first node makes of a tensor that reads it as floats, by scales that the run tells;
    None where constants tell them, or nobody reads it so."""
    for node in graph.consumers.get(tensor, ()):
        if node.operator == "DequantizeLinear" and node.inputs[0] == tensor:
            return node.outputs[0] if dequantiser(graph, tensor) is None else None
    return None


__all__ = ["dequantiser", "floats_read"]
