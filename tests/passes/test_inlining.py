"""Local functions and schema bodies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import helper

import backtrace_onnx
from backtrace_onnx import Explainer, ModelError
from backtrace_onnx.rules import registry
from backtrace_onnx.rules.registry import Op
from backtrace_onnx.structures.base import Passes, Structure
from tests.graphs import FLOAT, check_closed, model, node, normal

X = normal(3, 4, seed=5)


def _function(
    name: str, nodes: list[onnx.NodeProto], opset: int = 18, mine: bool = False
) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid("my", 1)] * mine
    return helper.make_function("my", name, ["a"], ["b"], nodes, opsets)


def _calling(
    functions: list[onnx.FunctionProto], name: str, shape: tuple[str | int, ...] = ("N", 4)
) -> onnx.ModelProto:
    return model(
        [node(name, ["x"], ["y"], "call", domain="my")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, shape)},
        functions=functions,
        domains={"my": 1},
    )


def _nested() -> onnx.ModelProto:
    inner = _function("Inner", [node("Mul", ["a", "a"], ["b"], "n")])
    nodes = [node("Relu", ["a"], ["t"], "n"), node("Inner", ["t"], ["b"], "m", domain="my")]
    return _calling([_function("Outer", nodes, mine=True), inner], "Outer")


@pytest.fixture
def rule_of_inner() -> Iterator[None]:
    @backtrace_onnx.rule("Inner", domain="my")
    def inner(op: Op) -> Structure:
        """Passes."""
        return Passes()

    yield
    registry.unregister("Inner", domain="my")


def test_nested_functions_are_inlined() -> None:
    explainer = Explainer(_nested())
    assert [row.operator for row in explainer.support()] == ["Relu", "Mul"]
    assert {row.coverage for row in explainer.support()} == {"expanded"}
    check_closed(explainer.explain(X))


def test_a_function_with_a_rule_of_its_own_is_kept(rule_of_inner: None) -> None:
    explainer = Explainer(_nested())
    assert [row.operator for row in explainer.support()] == ["Relu", "my::Inner"]
    check_closed(explainer.explain(X))


def test_a_body_of_another_opset_means_what_it_meant() -> None:
    body = [node("ReduceSum", ["a"], ["b"], axes=[1], keepdims=1)]
    found = Explainer(_calling([_function("F", body, opset=11)], "F", ("N", 1))).explain(X)
    assert np.allclose(found.outputs["y"], X.sum(1, keepdims=True), atol=1e-6)
    check_closed(found)


def test_functions_that_call_themselves_are_refused() -> None:
    body = [node("F", ["a"], ["b"], domain="my")]
    with pytest.raises(ModelError, match="call themselves: my::F -> my::F"):
        Explainer(_calling([_function("F", body, mine=True)], "F"))


def test_functions_that_explode_are_refused() -> None:
    twice = [
        _function(
            f"F{i}",
            [node(f"F{i + 1}", [a], [b], domain="my") for a, b in ("at", "tb")],
            mine=True,
        )
        for i in range(40)
    ]
    last = _function("F40", [node("Relu", ["a"], ["b"])])
    with pytest.raises(ModelError, match=r"1,099,511,627,776 nodes"):
        Explainer(_calling([*twice, last], "F0"))


def test_an_operator_without_a_rule_is_replaced_by_its_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proto = model(
        [node("HardSwish", ["x"], ["y"], "swish")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
    )
    monkeypatch.delitem(registry._RULES, ("", "HardSwish"))
    explainer = Explainer(proto)
    rows = explainer.support()
    assert "HardSwish" not in {row.operator for row in rows}
    assert "expanded" in {row.coverage for row in rows}
    found = explainer.explain(X)
    check_closed(found)
    assert np.allclose(found.outputs["y"], X * np.clip(X / 6 + 0.5, 0, 1), atol=1e-6)


def test_a_function_of_another_opset_that_means_the_same_is_inlined() -> None:
    """ONNX's inliner converts it, for which it must know types that nothing tells here."""
    nodes = [node("Constant", [], ["k"], "k", value_float=2.0), node("Mul", ["a", "k"], ["b"], "n")]
    proto = _calling([_function("Twice", nodes, opset=17)], "Twice")
    before = proto.SerializeToString()
    made = Explainer(proto).explain(X, start=np.ones_like(X))
    np.testing.assert_array_equal(made.relevance["x"], np.ones_like(X))
    assert proto.SerializeToString() == before


def test_a_function_that_cannot_be_brought_to_the_model_is_named() -> None:
    nodes = [node("Unheard", ["a"], ["t"], "u"), node("ReduceSum", ["t"], ["b"], "n", axes=[1])]
    proto = _calling([_function("Old", nodes, opset=11)], "Old", ("N", 1))
    with pytest.raises(ModelError, match=r"Old \(opset 11\).*export it with the opset"):
        Explainer(proto)
