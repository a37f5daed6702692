"""Missing values: inputs in which NaN is something the model has an answer for."""

from __future__ import annotations

from backtrace_onnx.graph import Graph

_ANSWERS = frozenset(
    f"ai.onnx.ml::{name}"
    for name in ("Imputer", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
)
_MOVES = frozenset(
    [
        "Cast",
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)


def takes_missing(graph: Graph, tensor: str) -> bool:
    """Whether all that reads a tensor, moved or not, is trees and imputers."""
    readers = graph.consumers.get(tensor, ())
    return (
        bool(readers)
        and tensor not in graph.outputs
        and all(
            node.operator in _ANSWERS
            or (node.operator in _MOVES and all(takes_missing(graph, out) for out in node.outputs))
            for node in readers
        )
    )
