"""Rules by domain, operator and version, and rules of a user's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import backtrace_onnx
from backtrace_onnx import Explainer, RuleError, UnsupportedError
from backtrace_onnx.rules import registry
from backtrace_onnx.rules.registry import Op, lookup, rule, rules, table, unregister
from backtrace_onnx.structures.base import Nothing, Passes, Structure
from tests.graphs import FLOAT, check_closed, model, node, normal


def passes(op: Op) -> Structure:
    """Relevance passes."""
    return Passes()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    for name in ("Odd", "Even"):
        unregister(name, domain="test")
        unregister(name)


def test_the_greatest_version_not_above_the_nodes_counts() -> None:
    rule("Odd", domain="test", since=1, summary="first")(passes)
    rule("Odd", domain="test", since=7, summary="second")(passes)
    found = {version: lookup("test", "Odd", version) for version in (1, 6, 7, 99)}
    assert [r.summary for r in found.values() if r] == ["first", "first", "second", "second"]
    rule("Even", domain="test", since=5)(passes)
    assert lookup("test", "Even", 4) is None


def test_one_rule_per_operator_and_version() -> None:
    rule("Odd", domain="test")(passes)
    with pytest.raises(RuleError, match="test Odd has a rule since opset 1"):
        rule("Odd", domain="test")(passes)
    with pytest.raises(RuleError, match=r"ai\.onnx Relu has a rule"):
        rule("Relu")(passes)


def test_a_table_registers_many_and_the_summary_is_the_docstring() -> None:
    table({"Odd": passes, "Even": lambda op: Nothing()}, domain="test")
    found = lookup("test", "Odd", 1)
    assert found is not None
    assert found.summary == "Relevance passes."
    assert {r.op_type for r in rules() if r.domain == "test"} == {"Odd", "Even"}


def test_the_standard_domain_has_two_spellings() -> None:
    rule("Odd", domain="ai.onnx")(passes)
    assert lookup("", "Odd", 1) is lookup("ai.onnx", "Odd", 1)
    assert lookup("", "Odd", 1) is not None


def test_every_rule_says_what_it_does() -> None:
    assert [r.op_type for r in rules() if not r.summary.strip()] == []


def test_a_rule_for_a_function_of_ones_own() -> None:
    from onnx import helper

    body = [node("Mul", ["a", "a"], ["b"])]
    proto = model(
        [node("Odd", ["x"], ["y"], "odd", domain="test")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        functions=[
            helper.make_function("test", "Odd", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
        ],
        domains={"test": 1},
    )
    backtrace_onnx.rule("Odd", domain="test")(passes)
    explainer = Explainer(proto)
    assert [(r.operator, r.coverage) for r in explainer.support()] == [("test::Odd", "exact")]
    x = normal(2, 4)
    found = explainer.explain(x, task="regression")
    assert np.allclose(found.relevance["x"], x * x, atol=1e-6)
    check_closed(found)


def test_a_rule_that_does_not_apply_says_why() -> None:
    @rule("Odd", domain="test")
    def odd(op: Op) -> Structure:
        """Never applies."""
        raise RuleError(f"{op.node.name}: its colour is wrong")

    proto = model(
        [node("Odd", ["x"], ["y"], "odd", domain="test")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        domains={"test": 1},
    )
    with pytest.raises(UnsupportedError, match="odd: its colour is wrong"):
        Explainer(proto)


def test_an_op_knows_its_node() -> None:
    seen: dict[str, object] = {}

    def build(op: Op) -> Structure:
        seen.update(
            has=[op.has(0), op.has(1), op.has(2)],
            constant=op.constant(1),
            carries=[op.carries(0), op.carries(1)],
            rank=op.rank(0),
            mode=op.attribute("to"),
            version=op.version,
            output=op.output_type().is_float,
        )
        return Passes()

    registry.rule("Odd", domain="test")(build)
    proto = model(
        [node("Odd", ["x", "k"], ["y"], "odd", domain="test", to="there")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"k": np.ones(2, np.float32)},
        domains={"test": 3},
    )
    with pytest.raises(Exception, match="onnxruntime does not load it"):
        Explainer(proto)
    assert np.array_equal(seen.pop("constant"), np.ones(2))  # type: ignore[call-overload]
    assert seen == {
        "has": [True, True, False],
        "carries": [True, False],
        "rank": 2,
        "mode": "there",
        "version": 3,
        "output": True,
    }
