"""What is laid out again, multiplied or added need not be fetched, nor weighed by books."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.rests import find_rests
from backtrace_onnx.propagation.traced_tensors import find_traced
from tests.graphs import FLOAT, check_closed, model, node, normal

RESTS = ("a", "apart", "b", "c", "d", "e")
MODES = ("gradient", "gradient_x_input", "lrp", "attnlrp", "gamma(0.25)")
X = normal(3, 8, seed=7)


def network() -> onnx.ModelProto:
    """Heads that are laid apart, scaled and laid together again, beside the way around them."""
    nodes = [
        node("MatMul", ["x", "w"], ["a"], "first"),
        node("Reshape", ["a", "heads"], ["apart"], "part"),
        node("Transpose", ["apart"], ["turned"], "turn", perm=[0, 2, 1]),
        node("Sigmoid", ["turned"], ["b"], "squash"),
        node("Mul", ["b", "half"], ["c"], "scale"),
        node("Transpose", ["c"], ["d"], "back", perm=[0, 2, 1]),
        node("Reshape", ["d", "whole"], ["joined"], "join"),
        node("MatMul", ["joined", "v"], ["e"], "second"),
        node("Add", ["x", "e"], ["s"], "add"),
        node("Tanh", ["s"], ["t"], "end"),
        node("MatMul", ["t", "u"], ["y"], "last"),
    ]
    weights = {
        "w": normal(8, 8, seed=1), "v": normal(8, 8, seed=2), "u": normal(8, 2, seed=3),
        "half": np.float32(0.5), "heads": np.array([0, 4, 2]), "whole": np.array([0, 8]),
    }  # fmt: skip
    return model(nodes, {"x": (FLOAT, ["N", 8])}, {"y": (FLOAT, ["N", 2])}, weights)


def explained(mode: str, x: Any = X, **asked: Any) -> Any:
    return Explainer(network()).explain(x, mode=mode, target=1, **asked)


def test_they_are_not_fetched() -> None:
    """Unless somebody asks for them."""
    plan, method = Explainer(network())._model.main.plan, find_method("gradient")
    inputs = {n.name: n.inputs[find_rests(plan)[n.name]] for n in plan.graph.nodes
              if n.name in find_rests(plan)}  # fmt: skip
    assert tuple(inputs.values()) == RESTS
    plain = find_traced(plan, method).values
    assert plain == {"x", "turned", "joined", "s", "t", "y"} | {"b"}  # of the sigmoid's slope
    whole = find_traced(plan, method, weighed=frozenset(RESTS)).values
    assert whole == plain | set(RESTS)
    assert find_traced(plan, find_method("deeplift")).values >= set(RESTS)  # which compares


@pytest.mark.parametrize("mode", MODES)
def test_books_close_as_where_all_are_weighed(mode: str) -> None:
    found, weighed = explained(mode), explained(mode, keep=RESTS)
    check_closed(found)
    check_closed(weighed)
    np.testing.assert_array_equal(found.relevance["x"], weighed.relevance["x"])
    assert list(found.ledger) == list(weighed.ledger)
    for name, entry in weighed.ledger.items():
        for kind in ("incoming", "data", "constants", "unassigned"):
            one, other = getattr(found.ledger[name], kind), getattr(entry, kind)
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=f"{name} {kind}")
        assert found.ledger[name].sent.keys() == entry.sent.keys()


@pytest.mark.parametrize("mode", ["gradient_x_input", "lrp", "attnlrp"])
def test_their_relevance_is_told_where_it_is_asked_for(mode: str) -> None:
    found = explained(mode, keep=[*RESTS, "turned", "joined"])
    laid = found.relevance["apart"].transpose(0, 2, 1)
    np.testing.assert_allclose(laid, found.relevance["turned"], rtol=1e-5, atol=1e-6)
    for one, other in (("a", "apart"), ("b", "c"), ("d", "joined")):
        flat = (found.relevance[name].reshape(3, -1) for name in (one, other))
        np.testing.assert_allclose(*flat, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.relevance["a"].sum(1), found.ledger["first"].incoming[0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("mode", ["gradient_x_input", "lrp"])
@pytest.mark.parametrize("tensor", ["apart", "c", "e"])
def test_a_condition_at_one_of_them_cuts_there(mode: str, tensor: str) -> None:
    whole = explained(mode, keep=[tensor])
    passes = np.zeros(whole.relevance[tensor].shape[1:], bool)
    passes[0] = True
    part = explained(mode, keep=[tensor], through={tensor: passes})
    expected = whole.relevance[tensor] * passes
    np.testing.assert_allclose(part.relevance[tensor], expected, rtol=1e-5, atol=1e-6)
    check_closed(part)
    cut = (whole.relevance[tensor] * ~passes).reshape(3, -1).sum(1)
    np.testing.assert_allclose(part.ledger.cut[tensor][0], cut, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_sample_has_the_books_that_it_has_alone(mode: str) -> None:
    together = explained(mode)
    for i in range(len(X)):
        alone = explained(mode, X[i : i + 1])
        for name, entry in alone.ledger.items():
            np.testing.assert_allclose(
                together.ledger[name].data[:, i], entry.data[:, 0], rtol=1e-5, atol=1e-6
            )


def test_the_compiled_engine_keeps_the_same_books() -> None:
    found = explained("lrp")
    other = Explainer(network(), engine="onnxruntime").explain(X, mode="lrp", target=1)
    for name, entry in found.ledger.items():
        np.testing.assert_allclose(other.ledger[name].data, entry.data, rtol=1e-4, atol=1e-5)


def test_what_two_nodes_send_is_worth_both() -> None:
    """The input is read twice: what it received is what both sent, not weighed once more."""
    ledger = explained("lrp").ledger
    sent = ledger["add"].sent["x"] + ledger["first"].sent["x"]
    np.testing.assert_allclose(sent, ledger.total().inputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ledger["end"].data, ledger["add"].incoming, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_head_that_walks_read_as_something_else_is_weighed(mode: str) -> None:
    """The softplus that the scores end in is written out; slopes start behind it."""
    nodes = [
        node("MatMul", ["x", "w"], ["z"], "scores"),
        node("Neg", ["z"], ["n"], "turn"),
        node("Sigmoid", ["n"], ["p"], "squash"),
        node("Log", ["p"], ["l"], "log"),
        node("Neg", ["l"], ["y"], "back"),
    ]
    proto = model(
        nodes, {"x": (FLOAT, ["N", 8])}, {"y": (FLOAT, ["N", 3])}, {"w": normal(8, 3, seed=4)}
    )
    found = Explainer(proto).explain(X, mode=mode, task="regression")
    check_closed(found)
