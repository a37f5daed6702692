"""Inputs that are one for all samples: a rate, a threshold, a table that every sample reads."""

from __future__ import annotations

from backtrace_onnx.graph.graph import Graph


def shared_inputs(graph: Graph) -> frozenset[str]:
    """The inputs in which no samples lie.

    Where none is known to hold samples, those with two axes or more do, along the first.
    """
    holding = [name for name in graph.inputs if name in graph.samples]
    if not holding:
        shapes = {name: graph.type(name).shape for name in graph.inputs}
        holding = [name for name, shape in shapes.items() if shape is None or len(shape) > 1]
    return frozenset(graph.inputs) - frozenset(holding or graph.inputs)


__all__ = ["shared_inputs"]
