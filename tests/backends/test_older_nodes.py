"""Nodes of older operator sets among the words of newer ones are explained alike."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, version_converter

import backtrace_onnx as bt
from backtrace_onnx.backends.older_nodes import is_older, modern
from backtrace_onnx.graph.graph import Node
from tests.graphs import FLOAT, model, node, normal

X = normal(2, 5, 8, seed=3)
MODES = ["default", "contrastive", "lrp", "attnlrp", "cnn", "gradient", "deeplift"]
MODES += ["integrated_gradients(steps=4)"]


def _normalised() -> list[onnx.NodeProto]:
    """x [batch, 5, 8] -> z: LayerNorm in nine nodes, whose axes are attributes."""
    return [
        node("ReduceMean", ["x"], ["m"], "mean", axes=[-1]),
        node("Sub", ["x", "m"], ["d"], "centred"),
        node("Pow", ["d", "two"], ["p"], "squares"),
        node("ReduceMean", ["p"], ["v"], "variance", axes=[-1]),
        node("Add", ["v", "small"], ["e"], "shifted"),
        node("Sqrt", ["e"], ["s"], "root"),
        node("Div", ["d", "s"], ["q"], "divided"),
        node("Mul", ["q", "g"], ["k"], "scaled"),
        node("Add", ["k", "b"], ["z"], "moved"),
    ]


def _softmax() -> list[onnx.NodeProto]:
    """x -> z: a softmax in primitives, whose axes are attributes."""
    return [
        node("ReduceMax", ["x"], ["m"], "most", axes=[-1]),
        node("Sub", ["x", "m"], ["d"], "below"),
        node("Exp", ["d"], ["e"], "powers"),
        node("ReduceSum", ["e"], ["t"], "total", axes=[-1]),
        node("Div", ["e", "t"], ["z"], "softmax"),
    ]


def _length() -> list[onnx.NodeProto]:
    """x -> z: every row over its length and one more."""
    return [
        node("ReduceL2", ["x"], ["r"], "length", axes=[-1]),
        node("Add", ["r", "two"], ["l"], "longer"),
        node("Div", ["x", "l"], ["z"], "direction"),
    ]


def _switched() -> list[onnx.NodeProto]:
    """x -> z: a hard swish in primitives."""
    return [
        node("Add", ["x", "three"], ["a"], "shifted"),
        node("Clip", ["a"], ["c"], "clipped", min=0.0, max=6.0),
        node("Mul", ["x", "c"], ["h"], "gated"),
        node("Div", ["h", "six"], ["z"], "divided"),
    ]


def _network(nodes: list[onnx.NodeProto], opset: int) -> onnx.ModelProto:
    read = {name for each in nodes for name in each.input}
    known = {
        "two": np.float32(2),
        "small": np.float32(1e-5),
        "three": np.float32(3),
        "six": np.float32(6),
        "g": normal(8, seed=4),
        "b": normal(8, seed=5),
    }
    weights = {name: array for name, array in known.items() if name in read}
    weights |= {"w": normal(40, 3, seed=6), "shape": np.array([-1, 40])}
    nodes = [
        *nodes,
        node("Reshape", ["z", "shape"], ["f"], "flat"),
        node("MatMul", ["f", "w"], ["u"], "dense"),
        node("Tanh", ["u"], ["y"], "tanh"),
    ]
    made = model(nodes, {"x": (FLOAT, ["N", 5, 8])}, {"y": (FLOAT, ["N", 3])}, weights)
    del made.opset_import[:]
    made.opset_import.append(helper.make_opsetid("", opset))
    onnx.checker.check_model(made)
    return made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("nodes", "opset"),
    [
        (_normalised, 9),
        (_normalised, 17),
        (_softmax, 11),
        (_length, 13),
        (_switched, 7),
        (_switched, 9),
    ],
)
def test_a_function_of_older_nodes_is_explained_as_of_newer_ones(
    nodes: object, opset: int, mode: str
) -> None:
    assert callable(nodes)
    old = _network(nodes(), opset)
    new = version_converter.convert_version(old, 18)
    want = bt.explain(new, X, mode=mode, target=1).relevance["x"]
    found = bt.explain(old, X, mode=mode, target=1).relevance["x"]
    assert found.any()
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


def test_what_was_read_as_a_matrix_still_is() -> None:
    old = Node("s", "", "Softmax", 11, ("x",), ("y",))
    written, _ = modern(old, 20)
    assert is_older(old, 20)
    assert [op_type for op_type, *_ in written] == ["Shape", "Flatten", "Softmax", "Reshape"]


@pytest.mark.parametrize(
    ("op_type", "version", "older"),
    [("ReduceMean", 17, True), ("ReduceMean", 18, False), ("Sin", 9, False), ("Gelu", 20, False)],
)
def test_only_nodes_that_changed_are_written_anew(op_type: str, version: int, older: bool) -> None:
    assert is_older(Node("n", "", op_type, version, ("x",), ("y",)), 20) is older


def test_a_node_of_another_domain_stays() -> None:
    assert not is_older(Node("n", "com.microsoft", "Gelu", 1, ("x",), ("y",)), 20)


def test_what_the_converter_does_not_bring_there_is_left() -> None:
    old = Node("n", "", "Add", 6, ("a", "b"), ("c",), {"broadcast": 1})
    assert modern(old, 20) == ([("Add", ["x0", "x1"], {"broadcast": 1}, ["y0"])], {})
