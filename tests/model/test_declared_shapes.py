"""What a file declares wrongly of its outputs changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from tests.graphs import FLOAT, model, node, normal

MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
SHAPES = (["N", 5], ["N"], [None, 3, 2], [7, 3])
X = normal(7, 5)


def _network(shape: Any) -> onnx.ModelProto:
    """x[N, 5] -> y[N, 3], declared in some shape."""
    nodes = [
        node("Sub", ["x", "shift"], ["centred"]),
        node("MatMul", ["centred", "w"], ["product"]),
        node("Add", ["product", "b"], ["y"]),
    ]
    weights = {"shift": normal(5, seed=1), "w": normal(5, 3, seed=2), "b": normal(3, seed=3)}
    return model(nodes, {"x": (FLOAT, ["N", 5])}, {"y": (FLOAT, shape)}, weights)


@pytest.mark.filterwarnings("ignore:Expected shape")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_both_engines_explain_what_the_nodes_make(shape: Any, mode: str, engine: Any) -> None:
    want = bt.explain(_network(["N", 3]), X, mode=mode)
    made = bt.explain(_network(shape), X, mode=mode, engine=engine)
    assert made.outputs["y"].shape == (7, 3) and made.task == want.task
    np.testing.assert_allclose(made.relevance["x"], want.relevance["x"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compiled_files_declare_what_they_return(shape: Any, tmp_path: Path) -> None:
    bt.compile(_network(shape), tmp_path / "m.onnx")
    session = ort.InferenceSession(tmp_path / "m.onnx")
    assert next(o for o in session.get_outputs() if o.name == "y").shape[1:] == [3]
    found = session.run(["relevance/x"], {"x": X, "target": np.array([-1])})[0]
    want = bt.explain(_network(["N", 3]), X).relevance["x"]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)
