"""Models whose outputs have axes of their own, and both engines asked at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from backtrace_onnx import Explainer, Explanation
from tests.graphs import FLOAT, Array, check_closed, model, node, normal

ENGINES = ("numba", "onnxruntime")


def linear(x: list[Any], y: list[Any], *before: Any, **weights: Array) -> onnx.ModelProto:
    """x -> before -> t -> MatMul with w -> y."""
    nodes = [*(before or [node("Identity", ["x"], ["t"])]), node("MatMul", ["t", "w"], ["y"])]
    return model(nodes, {"x": (FLOAT, x)}, {"y": (FLOAT, y)}, weights)


def detector(batch: str | int = "N") -> onnx.ModelProto:
    """x[batch, 8] -> 5 boxes and 3 scores each -> NonMaxSuppression -> y[n, 4 + 3]."""
    return model(
        [
            node("MatMul", ["x", "wb"], ["b"]),
            node("Reshape", ["b", "fours"], ["boxes"]),
            node("MatMul", ["x", "wc"], ["c"]),
            node("Reshape", ["c", "threes"], ["logits"]),
            node("Sigmoid", ["logits"], ["by_box"]),
            node("Transpose", ["by_box"], ["scores"], perm=[0, 2, 1]),
            node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["kept"]),
            node("Gather", ["kept", "two"], ["places"], axis=1),
            node("Squeeze", ["boxes", "first"], ["all_boxes"]),
            node("Squeeze", ["by_box", "first"], ["all_scores"]),
            node("Gather", ["all_boxes", "places"], ["kept_boxes"], axis=0),
            node("Gather", ["all_scores", "places"], ["kept_scores"], axis=0),
            node("Concat", ["kept_boxes", "kept_scores"], ["y"], axis=1),
        ],
        {"x": (FLOAT, [batch, 8])},
        {"y": (FLOAT, ["n", 7])},
        {
            "wb": normal(8, 20, seed=1),
            "wc": normal(8, 15, seed=2),
            "fours": np.array([-1, 5, 4]),
            "threes": np.array([-1, 5, 3]),
            "most": np.array([2]),
            "overlap": np.array([1.0], np.float32),
            "least": np.array([-1.0], np.float32),
            "two": np.array(2),
            "first": np.array([0]),
        },
    )


PAIRS = linear(
    ["people", 6],
    ["pairs", 3],
    node("Reshape", ["x", "twelve"], ["t"]),
    twelve=np.array([-1, 12]),
    w=normal(12, 3),
)


def both(proto: onnx.ModelProto, x: Array, **options: Any) -> Explanation:
    """The explanation, once both engines agree on relevance, target, ledger and notes."""
    found = [Explainer(proto, engine=engine).explain(x, **options) for engine in ENGINES]
    eager, compiled = found
    assert np.allclose(eager.relevance["x"], compiled.relevance["x"], atol=1e-6)
    assert np.array_equal(np.asarray(eager.target), np.asarray(compiled.target))
    assert (eager.layout, eager.notes, eager.axes) == (
        compiled.layout,
        compiled.notes,
        compiled.axes,
    )
    assert eager.ledger.keys() == compiled.ledger.keys()
    for kind in ("start", "inputs", "constants", "unassigned"):
        one, other = (getattr(made.ledger.total(), kind) for made in found)
        assert one.shape == other.shape, kind
        assert np.allclose(one, other, atol=1e-5), kind
    check_closed(eager)
    return eager
