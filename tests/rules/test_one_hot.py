"""An encoding written out as Equal and Cast is explained like the table it reads from."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, INT64, model, node, normal

KINDS, WIDTH = 7, 4
TABLE = normal(KINDS, WIDTH, seed=1)
IDS = np.array([[1, 6, 0], [3, 3, 9]], np.int64)  # 9 is no kind


def written_out() -> onnx.ModelProto:
    return network(
        [
            node("Unsqueeze", ["ids", "last"], ["column"], "column"),
            node("Equal", ["range", "column"], ["same"], "same"),
            node("Cast", ["same"], ["hot"], "hot", to=FLOAT),
            node("MatMul", ["hot", "table"], ["rows"], "look_up"),
        ],
        {"range": np.arange(KINDS), "table": TABLE, "last": np.array([2])},
    )


def looked_up() -> onnx.ModelProto:
    return network(
        [node("Gather", ["table", "ids"], ["rows"], "look_up")],
        {"table": np.concatenate([TABLE, np.zeros((3, WIDTH), np.float32)])},
    )


def network(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    tail = [
        node("Relu", ["rows"], ["active"], "active"),
        node("ReduceSum", ["active", "middle"], ["summed"], "summed", keepdims=0),
        node("MatMul", ["summed", "w"], ["y"], "head"),
    ]
    return model(
        [*nodes, *tail],
        {"ids": (INT64, ["N", 3])},
        {"y": (FLOAT, ["N", 2])},
        {**weights, "w": normal(WIDTH, 2, seed=2), "middle": np.array([1])},
    )


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_alike(mode: str, engine: Literal["numba", "onnxruntime"]) -> None:
    ours, theirs = (
        Explainer(m, engine=engine).explain(IDS, mode=mode) for m in (written_out(), looked_up())
    )
    top = np.abs(theirs.relevance["ids"]).max()
    np.testing.assert_allclose(ours.relevance["ids"], theirs.relevance["ids"], atol=1e-5 * top)
    assert np.abs(ours.relevance["ids"][:, :2]).max() > 0
    assert ours.relevance["ids"][1, 2] == 0
    assert ours.ledger.total().relative_residual < 1e-5


def test_other_comparisons_carry_nothing() -> None:
    proto = model(
        [
            node("Equal", ["ids", "padding"], ["is_padding"], "compare"),
            node("Cast", ["is_padding"], ["mask"], "cast", to=FLOAT),
            node("Mul", ["x", "mask"], ["y"], "mul"),
        ],
        {"ids": (INT64, ["N", 3]), "x": (FLOAT, ["N", 3])},
        {"y": (FLOAT, ["N", 3])},
        {"padding": np.array(1)},
    )
    found = Explainer(proto).explain({"ids": IDS, "x": normal(2, 3)}, task="regression")
    assert not found.relevance["ids"].any()
    np.testing.assert_allclose(found.relevance["x"], found.outputs["y"])
