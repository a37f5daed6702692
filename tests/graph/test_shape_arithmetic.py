"""Numbers of shapes that exporters reckon with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.graph.shape_arithmetic import reckoned
from tests.graphs import FLOAT, model, node, normal


@pytest.mark.parametrize(
    ("op", "a", "b", "found"),
    [
        ("Add", (2, 3), (1,), (3, 4)),
        ("Sub", (5,), (2, 3), (3, 2)),
        ("Mul", (2, 3), (4, 5), (8, 15)),
        ("Div", (8,), (2,), (4,)),
        ("Div", (8,), (3,), None),
        ("Div", (8,), (0,), None),
        ("Mod", (2,), (3,), (2,)),
        ("Mod", (2,), (0,), None),
        ("Add", (1, 2), (1, 2, 3), None),
        ("Add", None, (1,), None),
    ],
)
def test_numbers(op: str, a: Any, b: Any, found: Any) -> None:
    assert reckoned(op, a, b) == found


def _heads() -> Any:
    """Steps first, heads split off by numbers that are reckoned, then steps and samples in one."""
    nodes = [
        node("Transpose", ["x"], ["s"], perm=[1, 0, 2]),  # [steps, samples, 8]
        node("MatMul", ["s", "w"], ["m"]),
        node("Shape", ["m"], ["shape"]),
        node("Mod", ["two", "three"], ["rank"]),
        node("Slice", ["shape", "zero", "rank"], ["front"]),
        node("Gather", ["shape", "two"], ["size"]),
        node("Div", ["size", "two"], ["half"]),
        node("Concat", ["front", "two", "half"], ["split"], axis=0),
        node("Reshape", ["m", "split"], ["h"]),  # [steps, samples, 2, 4]
        node("Relu", ["h"], ["r"]),
        node("Reshape", ["r", "rows"], ["f"]),  # [steps * samples, 8]
        node("MatMul", ["f", "v"], ["g"]),
        node("Relu", ["g"], ["k"]),
        node("Slice", ["shape", "zero", "rank"], ["again"]),
        node("Concat", ["again", "three"], ["last"], axis=0),
        node("Reshape", ["k", "last"], ["t"]),
        node("ReduceMean", ["t", "zero"], ["y"], keepdims=0),
    ]
    weights = {
        **{name: np.array([n]) for name, n in (("zero", 0), ("two", 2), ("three", 3))},
        "rows": np.array([-1, 8]),
        "w": normal(8, 8),
        "v": normal(8, 3, seed=1),
    }
    kinds = {"x": (FLOAT, ["N", 5, 8])}, {"y": (FLOAT, ["N", 3])}
    return model(nodes, *kinds, weights)


def _blocks() -> Any:
    """Twice: steps first, steps and samples in one axis, apart again, and added to what was."""
    nodes, h = [], "x"
    for i in "ab":
        nodes += [
            node("Transpose", [h], [f"s{i}"], perm=[1, 0, 2]),
            node("Reshape", [f"s{i}", "rows"], [f"f{i}"]),  # [steps * samples, 8]
            node("MatMul", [f"f{i}", f"w{i}"], [f"m{i}"]),
            node("Relu", [f"m{i}"], [f"r{i}"]),
            node("Reshape", [f"r{i}", "apart"], [f"u{i}"]),  # [5, samples, 8]
            node("Transpose", [f"u{i}"], [f"t{i}"], perm=[1, 0, 2]),
            node("Add", [h, f"t{i}"], [f"h{i}"]),
        ]
        h = f"h{i}"
    nodes.append(node("ReduceMean", [h, "one"], ["y"], keepdims=0))
    weights = {
        "rows": np.array([-1, 8]),
        "apart": np.array([5, -1, 8]),
        "one": np.array([1]),
        "wa": normal(8, 8),
        "wb": normal(8, 8, seed=1),
    }
    return model(nodes, {"x": (FLOAT, ["N", 5, 8])}, {"y": (FLOAT, ["N", 8])}, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("network", [_heads, _blocks])
def test_samples_are_known_behind_shapes_that_are_reckoned(network: Any, engine: Any) -> None:
    """A stabiliser goes by the scale of a sample's own units."""
    explainer, x = Explainer(network(), engine=engine), normal(3, 5, 8, seed=2)
    x *= np.float32([1, 30, 0.1])[:, None, None]
    made = explainer.explain(x, mode="lrp(0.5)", target=1)
    assert not made.ledger.mixed
    for i in range(3):
        alone = explainer.explain(x[i : i + 1], mode="lrp(0.5)", target=1).relevance["x"][0]
        np.testing.assert_allclose(made.relevance["x"][i], alone, rtol=1e-4, atol=1e-6)
