"""Shapes that a model computes, known before it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.graph.inference import infer_types
from backtrace_onnx.graph.shapes import computed_shapes
from tests.graphs import FLOAT, INT64, check_samples, model, node, normal

INT32 = onnx.TensorProto.INT32
SHAPE = [
    node("Shape", ["x"], ["s"]),
    node("Cast", ["s"], ["narrow"], to=INT32),
    node("Slice", ["narrow", "zero", "one"], ["cut"]),
    node("Cast", ["cut"], ["batch"], to=INT64),
]
PICKED = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["batch"])]
WEIGHTS = {"zero": [0], "one": [1], "rest": [12], "whole": [2, 6], "everything": [2**31 - 1]}


def _shape(nodes: list[onnx.NodeProto], **weights: Any) -> tuple[int | str | None, ...] | None:
    """Of y, made of x[N, 3, 4]."""
    proto = model(nodes, {"x": (FLOAT, ["N", 3, 4])}, {"y": (FLOAT, None)}, {**WEIGHTS, **weights})
    return Explainer(proto).graph.type("y").shape


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([*SHAPE, node("Concat", ["batch", "rest"], ["to"], axis=0)], ("N", 12)),
        ([*PICKED, node("Concat", ["batch", "whole"], ["to"], axis=0)], ("N", 2, 6)),
        ([*PICKED, node("Concat", ["rest", "batch"], ["to"], axis=0)], (12, "N")),
        ([node("Concat", ["zero", "rest"], ["to"], axis=0)], ("N", 12)),
        ([node("Concat", ["minus", "rest"], ["to"], axis=0)], ("N", 12)),
        ([*PICKED, node("Concat", ["batch", "minus"], ["to"], axis=0)], ("N", 12)),
    ],
)
def test_a_reshape_to_a_computed_shape(
    nodes: list[onnx.NodeProto], shape: tuple[int | str, ...]
) -> None:
    reshape = node("Reshape", ["x", "to"], ["y"])
    assert _shape([*nodes, reshape], minus=[-1]) == shape


def test_what_is_not_known_leaves_the_rank() -> None:
    nodes = [
        node("Concat", ["minus", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["flat"]),
        node("Concat", ["six", "minus"], ["other"], axis=0),
        node("Reshape", ["flat", "other"], ["y"]),
    ]
    shape = _shape(nodes, minus=[-1], six=[6])
    assert shape is not None
    assert shape[0] == 6
    assert not isinstance(shape[1], int)


def test_an_expand_to_a_computed_shape() -> None:
    nodes = [
        *PICKED,
        node("Concat", ["batch", "one", "whole"], ["to"], axis=0),
        node("Expand", ["k", "to"], ["wide"]),
        node("ReduceSum", ["wide"], ["y"], keepdims=0),
    ]
    proto = model(nodes, {"x": (FLOAT, ["N", 3, 4])}, {"y": (FLOAT, None)},
                  {**WEIGHTS, "k": normal(6)})  # fmt: skip
    inferred = onnx.shape_inference.infer_shapes(proto)
    types = Explainer(proto).graph.types
    assert types["wide"].shape == ("N", 1, 2, 6)
    assert "wide" not in computed_shapes(inferred.graph, types)


def test_an_axis_that_is_not_cut_stays_what_it_is() -> None:
    starts = {"starts": [0, 1], "ends": [2**31 - 1, 3], "axes": [0, 2]}
    cut = node("Slice", ["x", "starts", "ends", "axes"], ["y"])
    assert _shape([cut], **starts) == ("N", 3, 2)
    shape = _shape([cut], **{**starts, "starts": [1, 1]})
    assert shape is not None
    assert shape[1:] == (3, 2)
    assert shape[0] != "N"


def test_damaged_steering_is_no_error_here() -> None:
    proto = model(
        [node("Slice", ["x", "starts", "ends", "axes"], ["y"])],
        {"x": (FLOAT, ["N", 3, 4])},
        {"y": (FLOAT, None)},
        {"starts": [0], "ends": [2, 5], "axes": [9]},
    )
    assert infer_types(proto)["x"].shape == ("N", 3, 4)


def test_weights_of_old_files_are_known_though_they_are_no_inputs() -> None:
    proto = model(
        [node("Unsqueeze", ["k"], ["wide"], axes=[0]), node("Mul", ["x", "wide"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, None)},
        {"k": normal(4)},
        opset=9,
        ir=3,
    )
    assert infer_types(proto)["y"].shape == ("N", 4)


def test_a_size_of_minus_one_is_open() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, [-1, 4])},
        {"y": (FLOAT, [-1, 3])},
        {"w": normal(4, 3)},
    )
    check_samples(proto, normal(3, 4))


@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_numbers_per_sample_are_booked_to_their_samples(mode: str) -> None:
    nodes = [
        node("Slice", ["x", "zero", "everything", "zero"], ["all"]),
        node("ReduceMax", ["all", "axes"], ["largest"], keepdims=0),
        *SHAPE,
        node("Concat", ["batch", "one", "one"], ["to"], axis=0),
        node("Reshape", ["largest", "to"], ["back"]),
        node("Sub", ["x", "back"], ["y"]),
    ]
    proto = model(
        nodes, {"x": (FLOAT, ["N", 3, 4])}, {"y": (FLOAT, None)}, {**WEIGHTS, "axes": [1, 2]}
    )
    check_samples(proto, np.abs(normal(3, 3, 4)), mode=mode, task="regression")


def test_a_long_chain_keeps_its_samples() -> None:
    nodes, h = [], "x"
    for i in range(100):  # inference forgets the batch at every Slice
        nodes += [
            node("Slice", [h, "from", "to", "last"], [f"s{i}"]),
            node("Add", [f"s{i}", "k"], [f"a{i}"]),
            node("Concat", [f"a{i}", f"s{i}"], [f"h{i}"], axis=2),
        ]
        h = f"h{i}"
    weights: dict[str, Any] = {
        "from": [0, 0],
        "to": [2**31 - 1, 2],
        "last": [0, 2],
        "k": np.ones((3, 2), "f4"),
    }
    proto = model(nodes, {"x": (FLOAT, ["N", 3, 4])}, {h: (FLOAT, None)}, weights, opset=18)
    types = infer_types(proto)
    assert types["s50"].shape == ("N", 3, 2)
    assert types[h].shape == ("N", 3, 4)
