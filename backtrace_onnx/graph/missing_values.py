"""Missing values: inputs in which NaN is something the model has an answer for."""

from __future__ import annotations

from math import isnan

from backtrace_onnx.graph.graph import Graph, Node

_ANSWERS = frozenset(
    f"ai.onnx.ml::{name}"
    for name in ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
)
_MOVES = frozenset(
    [
        "ai.onnx.ml::ArrayFeatureExtractor",
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
    """Whether NaN in a tensor stands for a missing value.

    It does where the model asks for it (IsNaN), or where trees and imputers are all that reads the
    tensor.
    """
    return _asks(graph, tensor) or _answers(graph, tensor)


def _asks(graph: Graph, tensor: str) -> bool:
    """Whether it is looked for NaN, moved or not."""
    return any(
        node.operator == "IsNaN"
        or (node.operator in _MOVES and any(_asks(graph, out) for out in node.outputs))
        for node in graph.consumers.get(tensor, ())
    )


def _answers(graph: Graph, tensor: str) -> bool:
    readers = graph.consumers.get(tensor, ())
    return (
        bool(readers)
        and tensor not in graph.outputs
        and all(
            node.operator in _ANSWERS
            or imputes_nan(node)
            or (node.operator in _MOVES and all(_answers(graph, out) for out in node.outputs))
            for node in readers
        )
    )


def imputes_nan(node: Node) -> bool:
    """Whether a node is an Imputer of NaN; others replace a number, and let NaN through."""
    replaced = node.attributes.get("replaced_value_float", 0.0)
    return node.operator == "ai.onnx.ml::Imputer" and isnan(replaced)
