"""If: explained as the branch that ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import CompileError, Explainer, UnsupportedError
from tests.cases import channels
from tests.checks import assert_close
from tests.control.made import body, check_alike, ran
from tests.graphs import BOOL, FLOAT, check_closed, model, node, normal

X = normal(3, 4, seed=3)
OUT = (FLOAT, [None, 5])
A, B = {"wa": normal(4, 5)}, {"wb": normal(4, 5, seed=1)}


def linear(weight: Mapping[str, npt.NDArray[Any]], out: str = "z") -> onnx.GraphProto:
    """A branch that multiplies the captured x by a weight of its own."""
    name = next(iter(weight))
    return body([node("MatMul", ["x", name], [out], "mm")], {}, [(out, OUT)], weight)


def branching(
    then: onnx.GraphProto,
    other: onnx.GraphProto,
    before: Sequence[onnx.NodeProto] = (),
    inputs: Mapping[str, Any] | None = None,
    weights: Mapping[str, npt.ArrayLike] | None = None,
) -> onnx.ModelProto:
    """x[N, 4] -> If on c -> Relu -> head -> y[N, 2]."""
    return model(
        [
            *before,
            node("If", ["c"], ["h"], "if", then_branch=then, else_branch=other),
            node("Relu", ["h"], ["a"], "act"),
            node("MatMul", ["a", "v"], ["y"], "head"),
        ],
        {"x": (FLOAT, ["N", 4]), **(inputs or {})},
        {"y": (FLOAT, ["N", 2])},
        {"v": normal(5, 2, seed=2), **(weights or {})},
    )


def plain(weight: Mapping[str, npt.NDArray[Any]]) -> onnx.ModelProto:
    """The same without a choice."""
    return model(
        [
            node("MatMul", ["x", "w"], ["h"], "mm"),
            node("Relu", ["h"], ["a"], "act"),
            node("MatMul", ["a", "v"], ["y"], "head"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 2])},
        {"v": normal(5, 2, seed=2), "w": next(iter(weight.values()))},
    )


def test_the_branch_an_input_chooses() -> None:
    proto = branching(linear(A), linear(B, "x_else"), inputs={"c": (BOOL, [])})
    check_alike(proto, plain(A), {"x": X, "c": np.array(True)}, engines=("numba", "onnxruntime"))
    explainer = check_alike(proto, plain(B), {"x": X, "c": np.array(False)})
    found = explainer.explain({"x": X, "c": np.array(False)}, keep="all")
    assert "if/mm" in found.ledger and "h" in found.relevance


def test_the_branch_the_data_chooses() -> None:
    before = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Greater", ["s", "zero"], ["c"])]
    proto = branching(linear(A), linear(B), before, weights={"zero": np.float32(0)})
    check_alike(proto, plain(A), {"x": np.abs(X)})
    check_alike(proto, plain(B), {"x": -np.abs(X)})
    with pytest.raises(CompileError, match=r"If node 'if' \(which of its branches runs\)"):
        Explainer(proto).compile("nowhere.onnx")


def test_a_constant_condition_compiles(tmp_path: Path) -> None:
    before = [node("Not", ["no"], ["c"])]
    proto = branching(linear(A), linear(B), before, weights={"no": np.array([False])})
    check_alike(proto, plain(A), {"x": X}, engines=("numba", "onnxruntime"))
    Explainer(proto).compile(tmp_path / "explained.onnx")
    made = ran(tmp_path / "explained.onnx", {"x": X})
    wanted = Explainer(plain(A)).explain(X)
    assert_close([made["relevance/x"]], channels(wanted, "x"), 1e-5)


def test_branches_within_branches_and_names_met_before() -> None:
    inner = body(
        [node("If", ["d"], ["z"], "if", then_branch=linear(A), else_branch=linear(B))],
        {},
        [("z", OUT)],
    )
    proto = branching(inner, linear(B), inputs={"c": (BOOL, []), "d": (BOOL, [])})
    for c, d, weight in ((True, True, A), (True, False, B), (False, True, B)):
        check_alike(proto, plain(weight), {"x": X, "c": np.array(c), "d": np.array(d)})


def test_branches_that_return_what_lies_outside_or_a_constant() -> None:
    outer = body([node("Identity", ["x"], ["z"])], {}, [("z", (FLOAT, ["N", 4]))])
    fixed = body([], {}, [("k", (FLOAT, [3, 4]))], {"k": normal(3, 4)})
    proto = model(
        [
            node("If", ["c"], ["h"], "if", then_branch=outer, else_branch=fixed),
            node("Add", ["h", "x"], ["s"], "sum"),
            node("MatMul", ["s", "v"], ["y"], "head"),
        ],
        {"x": (FLOAT, ["N", 4]), "c": (BOOL, [])},
        {"y": (FLOAT, ["N", 2])},
        {"v": normal(4, 2)},
    )
    explainer = Explainer(proto)
    through = explainer.explain({"x": X, "c": np.array(True)})
    check_closed(through)
    assert not through.ledger.total().constants.any()
    constant = explainer.explain({"x": X, "c": np.array(False)})
    check_closed(constant)
    assert constant.ledger.total().constants.any()


def test_a_branch_that_is_a_tensor_from_outside() -> None:
    outer = body([], {}, [("x", (FLOAT, ["N", 4]))])  # onnxruntime itself refuses this
    proto = model(
        [
            node("If", ["c"], ["h"], "if", then_branch=outer, else_branch=linear(B)),
            node("MatMul", ["h", "v"], ["y"], "head"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 2])},
        {"v": normal(4, 2), "c": np.array(True)},
    )
    found = Explainer(proto).explain(X)
    check_closed(found)
    assert np.allclose(found.outputs["y"], X @ normal(4, 2), atol=1e-6)


def test_what_a_branch_lacks_is_said_before_anything_runs() -> None:
    strange = body([node("Foo", ["x"], ["z"], "foo", domain="my")], {}, [("z", OUT)])
    proto = branching(linear(A), strange, inputs={"c": (BOOL, [])})
    proto.opset_import.append(onnx.helper.make_opsetid("my", 1))
    with pytest.raises(UnsupportedError) as caught:
        Explainer(proto)
    (row,) = caught.value.operators
    assert (row.operator, row.nodes) == ("my::Foo", ("if/foo",))


def test_support_lists_the_nodes_of_bodies() -> None:
    proto = branching(linear(A), linear(B), inputs={"c": (BOOL, [])})
    rows = [(row.node, row.operator, row.coverage) for row in Explainer(proto).support()]
    assert rows == [
        ("if", "If", "expanded"),
        ("if/mm", "MatMul", "exact"),
        ("if/mm", "MatMul", "exact"),
        ("act", "Relu", "exact"),
        ("head", "MatMul", "exact"),
    ]
