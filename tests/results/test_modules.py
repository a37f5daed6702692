"""Relevance by modules: scopes read from files of several exporters, books that conserve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import helper

from backtrace_onnx import Explainer, Explanation, RequestError
from backtrace_onnx.results.modules import Module
from tests.graphs import FLOAT, mlp, model, node, normal

TORCH = "pkg.torch.onnx."


def residual_net(**options: Any) -> onnx.ModelProto:
    """x -> fc -> h; h + branch(h) -> head: modules block, fc, branch, head by name."""
    names = ["/block/fc/Gemm", "/block/branch/MatMul", "/block/branch/Tanh", "/block/Add"]
    return model(
        [
            node("Gemm", ["x", "w", "b"], ["h"], names[0]),
            node("MatMul", ["h", "v"], ["m"], names[1]),
            node("Tanh", ["m"], ["t"], names[2]),
            node("Add", ["h", "t"], ["s"], names[3]),
            node("Gemm", ["s", "u", "c"], ["y"], "/head/Gemm"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {
            "w": normal(4, 5),
            "b": normal(5, seed=1),
            "v": normal(5, 5, seed=2),
            "u": normal(5, 3, seed=3),
            "c": normal(3, seed=4),
        },
        **options,
    )


def check_conserved(found: dict[str, Module]) -> None:
    for module in found.values():
        scale = max(np.abs(module.incoming).max(), np.abs(module.data).max(), 1e-9)
        assert np.abs(module.residual).max() <= 1e-5 * scale, module.path


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_books_of_modules(engine: Literal["numba", "onnxruntime"], mode: str) -> None:
    made = Explainer(residual_net(), engine=engine).explain(normal(2, 4, seed=9), mode=mode)
    found = made.modules()
    assert list(found) == ["", "block", "block.fc", "block.branch", "head"]
    check_conserved(found)
    total, whole = made.ledger.total(), found[""]
    np.testing.assert_allclose(whole.incoming, total.start, rtol=1e-5)
    np.testing.assert_allclose(whole.data, total.inputs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole.constants, total.constants, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["block"].incoming, found["head"].data, rtol=1e-5, atol=1e-6)


def test_a_branch_gets_what_the_sum_gives_it() -> None:
    """The tensor h is read inside the branch and by the sum beside it: edges are told apart."""
    made = Explainer(residual_net()).explain(normal(1, 4, seed=9), keep="all")
    found = made.modules()
    to_branch = made.relevance["t"].sum()
    np.testing.assert_allclose(found["block.branch"].incoming.sum(), to_branch, rtol=1e-5)
    to_fc = made.relevance["h"].sum()
    np.testing.assert_allclose(found["block.fc"].incoming.sum(), to_fc, rtol=1e-5)
    shortcut = made.ledger["/block/Add"].sent["h"].sum()
    np.testing.assert_allclose(found["block.branch"].data.sum() + shortcut, to_fc, rtol=1e-5)


def test_metadata_of_torch_and_classes() -> None:
    proto = mlp()
    for n, path in zip(proto.graph.node, ("net.0", "net.1", "net.2"), strict=True):
        kind = {"Gemm": "Linear", "Relu": "ReLU"}[n.op_type]
        n.metadata_props.add(key=TORCH + "name_scopes", value=str(["", "net", path, "aten"]))
        classes = str(["Mine", "Sequential", f"torch.nn.{kind}", "aten.op"])
        n.metadata_props.add(key=TORCH + "class_hierarchy", value=classes)
    made = Explainer(proto).explain(normal(1, 4))
    assert list(made.modules()) == ["", "net", "net.0", "net.1", "net.2"]
    assert made.modules()["net.1"].kind == "torch.nn.ReLU"
    classes = made.modules(by="class")
    assert list(classes) == ["Mine", "Sequential", "torch.nn.Linear", "torch.nn.ReLU"]
    check_conserved(classes)
    both = classes["torch.nn.Linear"]
    np.testing.assert_allclose(both.constants, made.ledger.total().constants, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/layer1/layer1.0/conv1/Conv_2", ["", "layer1", "layer1.0", "layer1.0.conv1"]),
        ("model/inner/dense/MatMul", ["", "model", "model/inner", "model/inner/dense"]),
        ("StatefulPartitionedCall/model/dense/MatMul", ["", "model", "model/dense"]),
        ("net/dense/MatMul;net/dense/BiasAdd", ["", "net", "net/dense"]),
    ],
)
def test_scopes_in_names(name: str, path: list[str]) -> None:
    proto = mlp()
    proto.graph.node[0].name = name
    assert list(Explainer(proto).explain(normal(1, 4)).modules()) == path


def test_nodes_that_stand_for_a_written_one_stay_in_its_module() -> None:
    """HardSwish may be written out, Conv and its scale are joined, Shape has no name of its own."""
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"], "/a/MatMul"),
            node("Add", ["h", "b"], ["i"], "/b/Add"),
            node("Mish", ["i"], ["j"], "/c/Mish"),
            node("Identity", ["j"], ["k"], "Identity_1"),
            node("HardSwish", ["k"], ["y"], "/d/HardSwish"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3), "b": normal(3)},
    )
    made = Explainer(proto).explain(normal(2, 4))
    found = made.modules()
    assert set(found) <= {"", "a", "b", "c", "d"} and {"a", "c", "d"} <= set(found)
    np.testing.assert_allclose(found["a"].constants, made.ledger.total().constants, rtol=1e-5)
    assert set(made.places) == set(made.ledger)
    check_conserved(found)


def test_local_functions_lie_where_they_are_called() -> None:
    core = [helper.make_opsetid("", 18)]
    body = [helper.make_node("Neg", ["a"], ["n"]), helper.make_node("Abs", ["n"], ["b"])]
    function = helper.make_function("mine", "Fold", ["a"], ["b"], body, core)
    proto = model(
        [
            node("Gemm", ["x", "w"], ["h"], "/fc/Gemm"),
            helper.make_node("Fold", ["h"], ["y"], name="/fold/Fold", domain="mine"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3)},
        functions=[function],
        domains={"mine": 1},
    )
    made = Explainer(proto).explain(normal(1, 4))
    assert list(made.modules()) == ["", "fc", "fold"]
    assert all(place.scopes for place in made.places.values())


def test_kept_in_files(tmp_path: Path) -> None:
    made = Explainer(residual_net()).explain(normal(2, 4), mode="contrastive")
    made.save(tmp_path / "e.npz")
    loaded = Explanation.load(tmp_path / "e.npz")
    for path, module in made.modules().items():
        np.testing.assert_array_equal(module.incoming, loaded.modules()[path].incoming)
        np.testing.assert_array_equal(module.data, loaded.modules()[path].data)


def test_files_that_tell_nothing_are_told() -> None:
    made = Explainer(mlp()).explain(normal(1, 4))
    with pytest.raises(RequestError, match=r"does not tell the modules.*from_torch"):
        made.modules()
    with pytest.raises(RequestError, match="by path or class, not 'layer'"):
        made.modules(by="layer")  # type: ignore[arg-type]
    named = Explainer(residual_net()).explain(normal(1, 4))
    with pytest.raises(RequestError, match="does not tell the classes"):
        named.modules(by="class")


@pytest.mark.parametrize("text", ["[", "{}", "[1, 2]", "['a'", '"a"', "[" * 300, ""])
@pytest.mark.parametrize("key", [TORCH + "name_scopes", "backtrace_onnx.name_scopes"])
def test_damaged_metadata_tells_nothing(key: str, text: str) -> None:
    proto = mlp()
    proto.graph.node[0].metadata_props.add(key=key, value=text)
    with pytest.raises(RequestError, match="does not tell"):
        Explainer(proto).explain(normal(1, 4)).modules()


def test_metadata_without_classes() -> None:
    proto = mlp()
    for n in proto.graph.node:
        value = json.dumps(["", "only"])
        n.metadata_props.add(key="backtrace_onnx.name_scopes", value=value)
    found = Explainer(proto).explain(normal(1, 4)).modules()
    assert [(m.path, m.kind) for m in found.values()] == [("", ""), ("only", "")]
