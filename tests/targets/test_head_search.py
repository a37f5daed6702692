"""Heads behind which other nodes come, or that are part of what is read as one function.

The oracle is that of `test_heads`: a linear model, in which feature i speaks with w_i x_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, Array, model, node
from tests.targets.test_heads import REDUCE, SIGMOID, TWO_SIDED, both, text

X = np.array([[2, 1]], np.float32)
OWN = np.array(TWO_SIDED) * X[0]
WEIGHTS: dict[str, Any] = {
    "last": np.array([-1]),
    "first": np.array([0]),
    "one": np.float32(1),
    "two": np.float32(2),
    "minus": np.float32(-1),
    "hundred": np.float32(100),
    "each": np.array([2, 3], np.float32),
    "low": np.float32(1e-30),
    "tiny": np.float32(1e-7),
    "k": np.array([2]),
    "some": np.float32(0.05),
    "most": np.float32(0.9),
    "ones": np.ones((2, 1), np.float32),
    "swap": np.array([1, 0]),
}
P = node("Softmax", ["z"], ["p"])
S = node("Sigmoid", ["z"], ["p"])
SUM = node("ReduceSum", ["p", "last"], ["s"], keepdims=1)
HEADS: dict[str, tuple[int, Sequence[onnx.NodeProto]]] = {
    "percent": (1, [P, node("Mul", ["p", "hundred"], ["y"])]),
    "percent of a sigmoid": (1, [S, node("Mul", ["hundred", "p"], ["y"])]),
    "divided": (1, [S, node("Div", ["p", "two"], ["y"])]),
    "factors of classes": (1, [P, node("Mul", ["p", "each"], ["y"])]),
    "a negative factor": (-1, [P, node("Mul", ["p", "minus"], ["y"])]),
    "log of sigmoid": (1, [S, node("Log", ["p"], ["y"])]),
    "log of what is bounded": (
        1,
        [S, node("Clip", ["p", "low", "one"], ["c"]), node("Log", ["c"], ["y"])],
    ),
    "log of what is kept from 0": (
        1,
        [P, node("Add", ["p", "tiny"], ["c"]), node("Log", ["c"], ["y"])],
    ),
    "log of a sigmoid kept from 0": (
        1,
        [S, node("Add", ["tiny", "p"], ["c"]), node("Log", ["c"], ["y"])],
    ),
    "log of sigmoid in primitives": (
        1,
        [*SIGMOID[:-1], node("Reciprocal", ["q"], ["r"]), node("Log", ["r"], ["y"])],
    ),
    "log of sigmoid by softplus": (
        1,
        [
            node("Neg", ["z"], ["n"]),
            node("Softplus", ["n"], ["c"]),
            node("Neg", ["c"], ["y"]),
        ],
    ),
    "by their sum": (1, [S, SUM, node("Div", ["p", "s"], ["y"])]),
    "by their sum in primitives": (
        1,
        [*SIGMOID[:-1], node("Reciprocal", ["q"], ["p"]), SUM, node("Div", ["p", "s"], ["y"])],
    ),
    "by their norm": (1, [S, node("LpNormalization", ["p"], ["y"], axis=1, p=1)]),
    "exp": (1, [node("Exp", ["z"], ["y"])]),
    "softplus": (1, [node("Softplus", ["z"], ["y"])]),
    "softplus in primitives": (
        1,
        [node("Exp", ["z"], ["e"]), node("Add", ["e", "one"], ["q"]), node("Log", ["q"], ["y"])],
    ),
    "exp of log-softmax": (1, [node("LogSoftmax", ["z"], ["p"]), node("Exp", ["p"], ["y"])]),
    "loss": (-1, [node("LogSoftmax", ["z"], ["p"]), node("Neg", ["p"], ["y"])]),
    "the rest": (-1, [S, node("Sub", ["one", "p"], ["y"])]),
    "the rest of a softmax": (-1, [P, node("Sub", ["one", "p"], ["y"])]),
    "split and joined": (
        1,
        [
            P,
            node("Split", ["p"], ["a", "c"], axis=1, num_outputs=2),
            node("Concat", ["a", "c"], ["y"], axis=1),
        ],
    ),
    "gathered": (
        1,
        [
            P,
            node("Gather", ["p", "swap"], ["a"], axis=1),
            node("Gather", ["a", "swap"], ["y"], axis=1),
        ],
    ),
    "softmax in primitives, in percent": (
        1,
        [*REDUCE, node("Div", ["e", "q"], ["p"]), node("Mul", ["p", "hundred"], ["y"])],
    ),
}


def linear(nodes: Sequence[onnx.NodeProto], bias: float, columns: Any = 2) -> onnx.ModelProto:
    """y = head(W x + bias), scores in z."""
    every = {"w": np.array(TWO_SIDED, np.float32), "b": np.full(2, bias, np.float32), **WEIGHTS}
    nodes = [node("Gemm", ["x", "w", "b"], ["z"], "fc", transB=1), *nodes]
    used = {name for n in nodes for name in n.input}
    kept = {name: array for name, array in every.items() if name in used}
    shape = ["N", columns] if columns else ["N"]
    return model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, shape)}, kept)


@pytest.mark.parametrize("head", HEADS)
def test_signs_are_those_of_the_scores(head: str) -> None:
    turn, nodes = HEADS[head]
    for bias in (-10, 10):
        proto = linear(nodes, bias)
        for target in (0, 1):
            made = both(proto, X, mode="epsilon(absolute=1e-6)", target=target)
            assert np.allclose(made.relevance["x"][0], turn * OWN[target], rtol=1e-3), bias
            score = turn * (OWN[target].sum() + bias)
            assert made.ledger.total().start[0] == pytest.approx([score], rel=1e-4)
            assert "relevance starts at" in text(made)
            found = both(proto, X, mode="contrastive", target=target).relevance["x"][0]
            assert turn * found[target] >= 0 >= turn * found[1 - target], (bias, found)


@pytest.mark.parametrize("head", ["TopK", "ReduceMax", "ArgMax"])
def test_the_best_of_several_is_the_score_of_its_class(head: str) -> None:
    nodes = {
        "TopK": [P, node("TopK", ["p", "k"], ["y", "i"])],
        "ReduceMax": [P, node("ReduceMax", ["p", "last"], ["y"], keepdims=0)],
        "ArgMax": [
            P,
            node("ArgMax", ["p"], ["i"], axis=1),
            node("GatherElements", ["p", "i"], ["y"], axis=1),
        ],
    }[head]
    columns = {"TopK": 2, "ReduceMax": None, "ArgMax": 1}[head]
    x = np.array([[2, 1], [1, 2]], np.float32)
    made = both(linear(nodes, -10, columns), x, mode="epsilon(absolute=1e-6)", target=0)
    assert np.allclose(made.relevance["x"], [TWO_SIDED[0] * x[0], TWO_SIDED[1] * x[1]], rtol=1e-3)
    assert np.allclose(made.ledger.total().start[0], [-5, -5], rtol=1e-4)


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
@pytest.mark.parametrize("bias", [-10, 0, 10])
def test_the_rest_is_the_same_function_however_written(mode: str, bias: float) -> None:
    written = [
        [node("Neg", ["z"], ["n"]), node("Sigmoid", ["n"], ["y"])],
        [S, node("Sub", ["one", "p"], ["y"])],
        [*SIGMOID[:-1], node("Reciprocal", ["q"], ["p"]), node("Sub", ["one", "p"], ["y"])],
    ]
    for target in (0, 1):
        options: dict[str, Any] = {"mode": mode, "target": target}
        first, *others = (both(linear(n, bias), X, **options).relevance["x"] for n in written)
        assert first.any()
        assert all(np.allclose(other, first, rtol=1e-4, atol=1e-7) for other in others)


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid"])
def test_a_steep_cap_is_no_factor(last: str) -> None:
    nodes = [
        node("Tanh", ["z"], ["t"]),
        node("Mul", ["t", "hundred"], ["c"]),
        node(last, ["c"], ["y"]),
    ]
    made = both(linear(nodes, -6.5), X, mode="epsilon(absolute=1e-6)", target=0)
    score = OWN[0].sum() - 6.5
    assert np.allclose(made.relevance["x"][0], OWN[0] / score * 100 * np.tanh(score), rtol=1e-3)
    assert f"relevance starts at 'c', the input of {last} 'y'" in text(made) or last in text(made)


def test_a_rate_starts_at_its_logarithm_in_a_regression() -> None:
    proto = linear([node("Exp", ["z"], ["y"])], -10)
    made = both(proto, X, mode="epsilon(absolute=1e-6)", task="regression")
    assert np.allclose(made.relevance["x"][0], OWN.sum(0), rtol=1e-3)
    made = both(proto, X, mode="contrastive", task="regression", target=0)
    assert made.relevance["x"][0] == pytest.approx([0, -np.exp(-5)], rel=1e-3)  # what made it small


def test_columns_that_are_scores_beside_columns_that_are_probabilities() -> None:
    proto = linear([S, node("Concat", ["z", "p"], ["y"], axis=1)], -10, 4)
    for target in range(4):
        made = both(proto, X, mode="epsilon(absolute=1e-6)", target=target)
        assert np.allclose(made.relevance["x"][0], OWN[target % 2], rtol=1e-3)
    assert "the scores that 'y' is made of, column by column" in text(made)


@pytest.mark.parametrize("how", ["Mean", "Mul"])
def test_what_several_probabilities_make_has_no_score_and_that_is_said(how: str) -> None:
    nodes = [S, node("Softmax", ["z"], ["q"]), node(how, ["p", "q"], ["y"])]
    proto = linear(nodes, -10)
    (note,) = both(proto, X, mode="epsilon(absolute=1e-6)", target=0).notes
    assert "made of probabilities" in note.text and "signs are turned" in note.text
    assert "several" not in text(both(proto, X, mode="contrastive", target=0))
    gated = [S, node("Mul", ["z", "p"], ["y"])]  # z itself is no probability
    assert "several" not in text(
        both(linear(gated, -10), X, mode="epsilon(absolute=1e-6)", target=0)
    )


SQUARES = [node("Mul", ["z", "z"], ["s"]), node("ReduceSum", ["s", "last"], ["q"], keepdims=1)]
SHARES = [*SQUARES, node("Div", ["s", "q"], ["p"])]


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)", "gradient"])
def test_probabilities_of_no_known_head_are_told_by_their_sum(mode: str) -> None:
    for nodes in ([*SHARES, node("Identity", ["p"], ["y"])], [*SHARES, node("Log", ["p"], ["y"])]):
        made = both(linear(nodes, -2), X, mode=mode, target=0)
        assert "not known as a softmax" in text(made) and "output= (--output)" in text(made)
        assert ("signs are turned" in text(made)) == (
            mode in ("epsilon(absolute=1e-6)", "gradient")
        )
        assert "softmax" not in text(both(linear(nodes, -2), X, mode=mode, task="regression"))
    counts = [node("Hardmax", ["z"], ["y"])]
    if mode not in ("epsilon(absolute=1e-6)", "gradient"):
        assert "softmax" not in text(both(linear(counts, 0), X, mode=mode, target=0))


def test_probabilities_whose_powers_are_read_elsewhere_too_start_at_the_score() -> None:
    nodes = [
        node("Exp", ["z"], ["e"]),
        node("MatMul", ["e", "ones"], ["q"]),
        node("Div", ["e", "q"], ["p"]),
        node("Concat", ["p", "e"], ["y"], axis=1),
    ]
    for target in range(4):
        made = both(linear(nodes, -10, 4), X, mode="epsilon(absolute=1e-6)", target=target)
        assert np.allclose(made.relevance["x"][0], OWN[target % 2], rtol=1e-3)


RESCALED: dict[str, Sequence[onnx.NodeProto]] = {
    "less": [node("Sub", ["p", "some"], ["y"])],
    "root": [node("Sqrt", ["p"], ["y"])],
    "power": [node("Pow", ["p", "some"], ["y"])],
    "smoothed": [node("Mul", ["p", "most"], ["h"]), node("Add", ["h", "some"], ["y"])],
    "both sides": [node("Mul", ["p", "two"], ["h"]), node("Sub", ["h", "one"], ["y"])],
}


@pytest.mark.parametrize("mode", ["epsilon(absolute=1e-6)", "gradient"])
@pytest.mark.parametrize("how", RESCALED)
@pytest.mark.parametrize("head", [P, S], ids=["softmax", "sigmoid"])
def test_a_probability_that_is_rescaled_starts_as_it_is_and_that_is_said(
    head: onnx.NodeProto, how: str, mode: str
) -> None:
    made = both(linear([head, *RESCALED[how]], -3), X, mode=mode, target=0)
    assert made.ledger.total().start[0] == pytest.approx([made.outputs["y"][0, 0]], rel=1e-4)
    assert "made of probabilities" in text(made) and "signs are turned" in text(made)


def test_a_number_measured_in_a_function_is_the_number_written() -> None:
    proto = linear([*SIGMOID], -10)
    (made,) = (n for n in Explainer(proto).graph.nodes if n.outputs == ("y",))
    assert made.attributes["native"].scale == 1
    unlike: Array = np.array([1 / 3], np.float32)
    nodes = [node("Mul", ["z", "third"], ["h"]), *SIGMOID]
    nodes[1] = node("Neg", ["h"], ["n"])
    WEIGHTS["third"] = unlike
    try:
        made_of = Explainer(linear(nodes, 0)).explain(X, mode="epsilon(absolute=1e-6)", target=0)
    finally:
        del WEIGHTS["third"]
    assert np.allclose(made_of.relevance["x"][0], OWN[0] / 3, rtol=1e-4)
