"""Compiled files that are asked for an entry which their output does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

import backtrace_onnx as bt
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

X = normal(2, 4, seed=3)
IDS = np.array([[1, 2, 3], [3, 4, 5]])


def _speaker() -> onnx.ModelProto:
    """Ids [batch, tokens] -> logits [batch, tokens, 5]."""
    return model(
        [node("Gather", ["e", "ids"], ["h"], "embed"), node("MatMul", ["h", "w"], ["y"], "head")],
        {"ids": (INT64, ["batch", "tokens"])},
        {"y": (FLOAT, ["batch", "tokens", 5])},
        {"e": normal(7, 3), "w": normal(3, 5, seed=1)},
    )


def _boxes() -> onnx.ModelProto:
    """x [batch, 4] -> scores of 6 boxes in 3 classes."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "head"),
        node("Reshape", ["h", "shape"], ["y"], "boxes"),
    ]
    weights = {"w": normal(4, 18), "shape": np.array([0, 6, 3])}
    return model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 6, 3])}, weights)


def _single() -> onnx.ModelProto:
    """x [batch, 4] -> one probability."""
    nodes = [node("MatMul", ["x", "w"], ["h"], "head"), node("Sigmoid", ["h"], ["y"], "sigmoid")]
    return model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 1])}, {"w": normal(4, 1)})


def _answer(path: Path, **feeds: Any) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[-1]


@pytest.mark.parametrize("mode", ["default", "contrastive", "lrp", "deeplift"])
@pytest.mark.parametrize("task", ["classification", "regression", "bbox"])
@pytest.mark.parametrize("target", [[3], [-2], [1, 3]])
def test_an_entry_that_is_not_there_is_an_error(
    target: list[int], task: str, mode: str, tmp_path: Path
) -> None:
    bt.compile(mlp(), tmp_path / "m.onnx", mode=mode, task=task)
    with pytest.raises(InvalidArgument, match="target_in_range"):
        _answer(tmp_path / "m.onnx", x=X, target=np.array(target))


def test_the_one_entry_of_two_classes_has_no_third(tmp_path: Path) -> None:
    bt.compile(_single(), tmp_path / "m.onnx", mode="lrp")
    assert _answer(tmp_path / "m.onnx", x=X, target=np.array([0])).any()
    with pytest.raises(InvalidArgument, match="idx=2 must be within"):
        _answer(tmp_path / "m.onnx", x=X, target=np.array([2]))


def test_one_of_several_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    bt.compile(mlp(), tmp_path / "m.onnx", mode="lrp", target="several")
    assert _answer(tmp_path / "m.onnx", x=X, targets=np.array([[0], [2], [-1]])).any()
    with pytest.raises(InvalidArgument, match="target_in_range"):
        _answer(tmp_path / "m.onnx", x=X, targets=np.array([[0], [3]]))


@pytest.mark.parametrize("pair", [(3, 0), (-4, 0), (0, 5), (0, -2)])
def test_a_position_or_token_that_is_not_there_is_an_error(
    pair: tuple[int, int], tmp_path: Path
) -> None:
    bt.compile(_speaker(), tmp_path / "m.onnx", mode="lrp", task="generation", tensors=["h"])
    with pytest.raises(InvalidArgument, match="target_in_range"):
        _answer(tmp_path / "m.onnx", ids=IDS, target=np.array([[pair]]))


@pytest.mark.parametrize("pair", [(6, 0), (0, 3), (-2, 0)])
def test_a_box_or_class_that_is_not_there_is_an_error(
    pair: tuple[int, int], tmp_path: Path
) -> None:
    bt.compile(_boxes(), tmp_path / "m.onnx", mode="lrp", task="detection", class_axis=2)
    with pytest.raises(InvalidArgument, match="target_in_range"):
        _answer(tmp_path / "m.onnx", x=X, target=np.array([pair]))


@pytest.mark.parametrize(
    ("made", "target", "options"),
    [
        (_boxes, (5, 2), {"task": "detection", "class_axis": 2}),
        (_boxes, (4, -1), {"task": "detection", "class_axis": 2}),
        (_single, 0, {}),
        (mlp, 2, {}),
    ],
)
def test_the_last_that_is_there_is_explained(
    made: Any, target: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    bt.compile(made(), tmp_path / "m.onnx", mode="lrp", **options)
    want = bt.explain(made(), X, mode="lrp", target=target, **options).relevance["x"]
    found = _answer(tmp_path / "m.onnx", x=X, target=np.array([target]))
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
