"""What is known before anything runs: rules, what is missing, gates and signs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, UnsupportedError
from backtrace_onnx.model.loading import load
from backtrace_onnx.passes.pipeline import prepare
from backtrace_onnx.propagation.plan import make_plan
from backtrace_onnx.rules import registry
from tests.graphs import FLOAT, INT64, check_closed, model, node, normal
from tests.growth import check_linear

X = normal(3, 4, seed=5)
W = normal(4, 4)


def _plan(proto: onnx.ModelProto) -> Any:
    return make_plan(prepare(load(proto)).graph())


def _custom() -> onnx.ModelProto:
    return model(
        [
            node("Foo", ["x"], ["h"], "f1", domain="my"),
            node("Bar", ["h"], ["g"], "b1", domain="my"),
            node("Foo", ["g"], ["k"], "f2", domain="my"),
            node("Baz", ["k"], ["y"], "z"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, None)},
        domains={"my": 1},
    )


def test_one_error_lists_every_operator_with_its_nodes_and_the_remedy() -> None:
    with pytest.raises(UnsupportedError) as caught:
        Explainer(_custom())
    rows = {row.operator: row for row in caught.value.operators}
    assert rows.keys() == {"Baz", "my::Bar", "my::Foo"}
    assert rows["my::Foo"].nodes == ("f1", "f2")
    assert "@backtrace_onnx.rule('Foo', domain='my')" in rows["my::Foo"].reason
    assert "no such operator" in rows["Baz"].reason
    for part in ("my::Foo (node f1, f2)", "on_unsupported='pass'", "3 operator(s)"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.fixture
def no_tanh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world in which Tanh has no rule."""
    monkeypatch.delitem(registry._RULES, ("", "Tanh"))


def _with_tanh() -> onnx.ModelProto:
    return model(
        [
            node("MatMul", ["x", "w"], ["h"], "fc"),
            node("Tanh", ["h"], ["t"], "tanh"),
            node("Add", ["t", "h"], ["y"], "add"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"w": W},
    )


def test_pass_hands_relevance_on(no_tanh: None) -> None:
    found = Explainer(_with_tanh(), on_unsupported="pass").explain(X)
    entry = found.ledger["tanh"]
    assert np.allclose(entry.incoming, entry.data, atol=1e-6)
    check_closed(found)


def test_stop_books_it_as_unassigned(no_tanh: None) -> None:
    found = Explainer(_with_tanh(), on_unsupported="stop").explain(X)
    entry = found.ledger["tanh"]
    assert np.abs(entry.incoming).max() > 0
    assert np.array_equal(entry.incoming, entry.unassigned)
    check_closed(found)


def test_an_unsupported_operator_off_the_way_does_not_matter(no_tanh: None) -> None:
    explainer = Explainer(_with_tanh(), on_unsupported="stop")
    found = explainer.explain(X, output="h")
    assert "tanh" not in found.ledger
    rows = {row.node: row.coverage for row in explainer.support()}
    assert rows == {"fc": "exact", "tanh": "none", "add": "exact"}


def _activation(op_type: str, *more: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> Any:
    nodes = [node("MatMul", ["x", "w"], ["h"], "fc"), node(op_type, ["h"], ["y"], "act"), *more]
    return model(nodes, {"x": (FLOAT, ["N", 4])}, {o: (FLOAT, ["N", 4]) for o in outputs}, {"w": W})


@pytest.mark.parametrize(
    ("op_type", "gate"),
    [("Tanh", (-2, 2)), ("Sigmoid", (-4, 4)), ("Softmax", (-1, 2)), ("Relu", None)],
)
def test_gates_of_the_activation_that_follows(op_type: str, gate: tuple[float, float]) -> None:
    assert _plan(_activation(op_type)).gates.get("fc") == gate


def test_a_gate_reaches_across_moves() -> None:
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"], "fc"),
            node("Transpose", ["h"], ["t"], perm=[1, 0]),
            node("Tanh", ["t"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, [4, "N"])},
        {"w": W},
    )
    assert _plan(proto).gates == {"fc": (-2, 2)}


def test_a_gate_reaches_past_readers_of_the_shape() -> None:
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"], "fc"),
            node("Shape", ["h"], ["s"]),
            node("Flatten", ["h"], ["f"]),
            node("Softmax", ["f"], ["p"]),
            node("Reshape", ["p", "s"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"w": W},
    )
    assert _plan(proto).gates == {"fc": (-1, 2)}


def test_softmax_is_a_gate_at_the_head_only() -> None:
    inside = _activation("Softmax", node("MatMul", ["y", "w"], ["z"]), outputs=("z",))
    assert not _plan(inside).gates


def test_a_factor_of_its_own_sigmoid_is_not_gated() -> None:
    swish = _activation("Sigmoid", node("Mul", ["h", "y"], ["z"]), outputs=("z",))
    assert not _plan(swish).gates


def test_logits_are_not_gated_by_the_softmax_behind_them() -> None:
    both = _activation("Softmax", outputs=("h", "y"))
    alone = model(
        [node("MatMul", ["x", "w"], ["h"], "fc")],
        {"x": (FLOAT, ["N", 4])},
        {"h": (FLOAT, ["N", 4])},
        {"w": W},
    )
    x = 3 * X
    found = Explainer(both).explain(x, output="h").relevance["x"]
    assert np.array_equal(found, Explainer(alone).explain(x).relevance["x"])
    gated = Explainer(both).explain(x, output="y").relevance["x"]
    assert not np.allclose(gated / gated.sum(), found / found.sum())


@pytest.mark.parametrize(
    ("nodes", "known"),
    [
        ([node("Relu", ["x"], ["y"])], True),
        ([node("Neg", ["x"], ["y"])], False),
        ([node("Clip", ["x", "zero"], ["y"])], True),
        ([node("Clip", ["x", "minus"], ["y"])], False),
        ([node("Clip", ["x"], ["y"])], False),
        ([node("Relu", ["x"], ["r"]), node("Add", ["r", "zero"], ["y"])], True),
        ([node("Relu", ["x"], ["r"]), node("Add", ["r", "minus"], ["y"])], False),
        ([node("Sigmoid", ["x"], ["r"]), node("Mul", ["r", "x"], ["y"])], False),
    ],
)
def test_what_is_never_negative(nodes: list[onnx.NodeProto], known: bool) -> None:
    constants = {"zero": np.float32(0), "minus": np.float32(-1)}
    proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])}, constants)
    assert ("y" in _plan(proto).nonnegative) == known


def test_masks_are_integral_and_embeddings_are_not() -> None:
    proto = model(
        [
            node("Cast", ["ids"], ["f"], to=FLOAT),
            node("Gather", ["table", "ids"], ["e"]),
            node("Unsqueeze", ["f", "axes"], ["u"]),
            node("Mul", ["e", "u"], ["y"]),
        ],
        {"ids": (INT64, ["N", 3])},
        {"y": (FLOAT, ["N", 3, 4])},
        {"table": W, "axes": np.array([2])},
    )
    plan = _plan(proto)
    assert {"ids", "f", "u"} <= plan.integral
    assert not {"e", "y"} & plan.integral


def test_planning_grows_as_the_graph_does() -> None:
    def plan(count: int) -> Callable[[], Any]:
        names = ["x", *(f"t{i}" for i in range(count - 1)), "y"]
        nodes = [node("Relu", [a], [b]) for a, b in pairwise(names)]
        proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
        graph = prepare(load(proto)).graph()
        return lambda: make_plan(graph)

    assert len(plan(1000)().structures) == 1000
    check_linear(plan, 1000)
