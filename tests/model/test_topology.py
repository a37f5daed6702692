"""Names and order of nodes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, ModelError, explain
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.topology import bodies
from tests.graphs import FLOAT, changed, mlp, model, node, normal
from tests.growth import check_linear

X = normal(2, 4, seed=5)


def _reversed(proto: onnx.ModelProto) -> None:
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[::-1])


def test_unsorted_nodes_are_sorted() -> None:
    found = explain(changed(_reversed), X).relevance["x"]
    assert np.array_equal(found, explain(mlp(), X).relevance["x"])


def test_sorting_grows_as_the_chain_does() -> None:
    def sort(count: int) -> Callable[[], Any]:
        names = ["x", *(f"t{i}" for i in range(count - 1)), "y"]
        nodes = [node("Relu", [a], [b]) for a, b in pairwise(names)]
        proto = model(nodes[::-1], {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
        return lambda: load(proto)

    loaded = sort(5000)()
    wanted = [*(f"t{i}" for i in range(4999)), "y"]
    assert [n.output[0] for n in loaded.proto.graph.node] == wanted
    check_linear(sort, 5000)


def test_a_cycle_is_refused_with_its_nodes() -> None:
    with pytest.raises(ModelError, match=r"cycle.*'fc1', 'act'"):
        load(changed(lambda m: m.graph.node[0].input.__setitem__(0, "a")))


def test_an_unknown_tensor_is_named_with_its_reader() -> None:
    with pytest.raises(ModelError, match=r"'fc1' \(Gemm\) reads 'nope', which nothing makes"):
        load(changed(lambda m: m.graph.node[0].input.__setitem__(0, "nope")))


def test_a_tensor_made_twice_is_refused() -> None:
    with pytest.raises(ModelError, match="'act' makes the tensor 'h', which exists already"):
        load(changed(lambda m: m.graph.node[1].output.__setitem__(0, "h")))


def test_a_tensor_that_is_also_a_weight_is_refused() -> None:
    with pytest.raises(ModelError, match="'fc1' makes the tensor 'h', which exists already"):
        load(changed(lambda m: setattr(m.graph.initializer[0], "name", "h")))


def test_an_output_nobody_makes_is_named() -> None:
    with pytest.raises(ModelError, match="no node makes the output 'z'"):
        load(changed(lambda m: setattr(m.graph.output[0], "name", "z")))


def test_nodes_without_or_with_equal_names_get_their_own() -> None:
    def rename(proto: onnx.ModelProto) -> None:
        for given, name in zip(proto.graph.node, ("", "a", "a"), strict=True):
            given.name = name

    rows = Explainer(changed(rename)).support()
    assert [row.node for row in rows] == ["h", "a", "a_2"]


def test_a_made_up_name_is_not_one_that_is_given() -> None:
    def rename(proto: onnx.ModelProto) -> None:
        for given, name in zip(proto.graph.node, ("", "h", ""), strict=True):
            given.name = name

    assert [row.node for row in Explainer(changed(rename)).support()] == ["h_2", "h", "y"]


def test_bodies_are_found_at_any_depth() -> None:
    def inside(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        return onnx.helper.make_graph(nodes, name, [], [])

    both = {"then_branch": inside("yes"), "else_branch": inside("no")}
    scan = node(
        "Scan", ["x"], ["y"], "scan", body=inside("of the scan", node("If", [], [], "if", **both))
    )
    found = [(made.name, graph.name) for made, graph in bodies([node("Relu", ["x"], ["z"]), scan])]
    assert sorted(found) == [("if", "no"), ("if", "yes"), ("scan", "of the scan")]
