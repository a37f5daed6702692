"""Models that onnxruntime's optimiser wrote before are optimised again with their explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from tests.graphs import FLOAT, model, node, normal

X = normal(2, 3, 4)
NAMES = ("gemm_{}_shape", "gemm_{}_shape_token_0", "of_{}")


def _network(named: str) -> onnx.ModelProto:
    """Two layers on [N, 3, 4], the first one fused to a Gemm between two Reshapes."""
    before, behind = (named.format(side) for side in ("input", "output"))
    nodes = [
        node("Reshape", ["x", before], ["rows"]),
        node("Gemm", ["rows", "w", "b"], ["made"]),
        node("Reshape", ["made", behind], ["first"]),
        node("Tanh", ["first"], ["bent"]),
        node("MatMul", ["bent", "v"], ["product"]),
        node("Add", ["product", "b"], ["y"]),
    ]
    weights: dict[str, Any] = {
        "w": normal(4, 4, seed=1),
        "b": normal(4, seed=2),
        "v": normal(4, 4, seed=3),
        before: np.array([6, 4]),
        behind: np.array([2, 3, 4]),
    }
    return model(nodes, {"x": (FLOAT, [2, 3, 4])}, {"y": (FLOAT, [2, 3, 4])}, weights)


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
@pytest.mark.parametrize("named", NAMES)
def test_names_that_an_optimiser_makes_up_twice(mode: str, named: str, tmp_path: Path) -> None:
    want = bt.explain(_network("plain_{}"), X, mode=mode).relevance["x"]
    made = bt.explain(_network(named), X, mode=mode, engine="onnxruntime").relevance["x"]
    np.testing.assert_allclose(made, want, rtol=1e-4, atol=1e-6)
    bt.compile(_network(named), tmp_path / "m.onnx", mode=mode, target=None)
    session = ort.InferenceSession(tmp_path / "m.onnx")
    np.testing.assert_allclose(
        session.run(["relevance/x"], {"x": X})[0], want, rtol=1e-4, atol=1e-6
    )
    names = {tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert named.startswith("of_") == (named.format("input") in names)
