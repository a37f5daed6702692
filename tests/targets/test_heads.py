"""Where relevance starts behind a softmax or sigmoid, however written, and with which sign.

The oracle is a linear model, of which the right answer is known: feature i speaks with w_i x_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Contrast, Explainer, Explanation, RequestError
from backtrace_onnx.policies import POLICIES, Policy, find_policy, policy
from tests.graphs import FLOAT, HALF, Array, check_closed, model, node, normal

X = np.array([[2, 1]], np.float32)
ONE_SIDED = [[3.0, 0.0], [0.0, 3.0]]
TWO_SIDED = [[3.0, -1.0], [-1.0, 3.0]]
ENGINES = ("numba", "onnxruntime")

REDUCE = [
    node("ReduceMax", ["z", "last"], ["m"], keepdims=1),
    node("Sub", ["z", "m"], ["s"]),
    node("Exp", ["s"], ["e"]),
    node("ReduceSum", ["e", "last"], ["q"], keepdims=1),
]
SIGMOID = [
    node("Neg", ["z"], ["n"]),
    node("Exp", ["n"], ["e"]),
    node("Add", ["e", "one"], ["q"]),
    node("Reciprocal", ["q"], ["y"]),
]
HEADS: dict[str, Sequence[onnx.NodeProto]] = {
    "none": [node("Identity", ["z"], ["y"])],
    "softmax": [node("Softmax", ["z"], ["y"], "prob")],
    "log-softmax": [node("LogSoftmax", ["z"], ["y"], "prob")],
    "sigmoids": [node("Sigmoid", ["z"], ["y"], "prob")],
    "log of softmax": [node("Softmax", ["z"], ["p"]), node("Log", ["p"], ["y"])],
    "softmax in primitives": [*REDUCE, node("Div", ["e", "q"], ["y"])],
    "log-softmax in primitives": [
        *REDUCE,
        node("Log", ["q"], ["l"]),
        node("Sub", ["s", "l"], ["y"]),
    ],
    "sigmoids in primitives": SIGMOID,
    "moves": [
        node("Reshape", ["z", "apart"], ["a"]),
        node("Softmax", ["a"], ["p"], axis=1),
        node("Transpose", ["p"], ["c"], perm=[2, 0, 1]),
        node("Cast", ["c"], ["d"], to=HALF),
        node("Cast", ["d"], ["f"], to=FLOAT),
        node("Squeeze", ["f", "first"], ["g"]),
        node("Identity", ["g"], ["y"]),
    ],
    "a temperature": [node("Div", ["z", "two"], ["t"]), node("Softmax", ["t"], ["y"])],
    "a factor in primitives": [
        node("Mul", ["z", "half"], ["h"]),
        node("Exp", ["h"], ["e"]),
        node("ReduceSum", ["e", "last"], ["q"], keepdims=1),
        node("Div", ["e", "q"], ["y"]),
    ],
}
SCALES = {"a temperature": 0.5, "a factor in primitives": 0.5}


def linear(
    head: str,
    bias: float,
    w: Any = ONE_SIDED,
    nodes: Sequence[onnx.NodeProto] | None = None,
) -> onnx.ModelProto:
    """y = head(W x + bias), scores in z."""
    weights: dict[str, Any] = {
        "w": np.array(w, np.float32),
        "b": np.full(len(w), bias, np.float32),
        "last": np.array([-1]),
        "first": np.array([0]),
        "apart": np.array([0, 2, 1]),
        "one": np.float32(1),
        "two": np.float32(2),
        "half": np.float32(0.5),
    }
    nodes = [node("Gemm", ["x", "w", "b"], ["z"], "fc", transB=1), *(nodes or HEADS[head])]
    used = {name for n in nodes for name in n.input}
    kept = {name: array for name, array in weights.items() if name in used}
    return model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", len(w)])}, kept)


def both(proto: onnx.ModelProto, x: Array, **options: Any) -> Explanation:
    """The same explanation and the same notes by both engines."""
    eager, compiled = (Explainer(proto, engine=e).explain(x, **options) for e in ENGINES)  # type: ignore[arg-type]
    assert np.allclose(eager.relevance["x"], compiled.relevance["x"], atol=1e-5)
    assert eager.notes == compiled.notes
    check_closed(eager)
    return eager


def text(made: Explanation) -> str:
    return "; ".join(note.text for note in made.notes)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("w", [ONE_SIDED, TWO_SIDED], ids=["one-sided", "two-sided"])
@pytest.mark.parametrize("head", HEADS)
def test_signs_are_right_for_every_head_bias_and_target(head: str, w: Any, target: int) -> None:
    for bias in (0, -1, -6, -10, 10):
        proto = linear(head, bias, w)
        own = np.array(w)[target] * X[0] * SCALES.get(head, 1.0)
        score = own.sum() + bias * SCALES.get(head, 1.0)
        signed = both(proto, X, mode="epsilon(absolute=1e-6)", target=target)
        if score:
            assert np.allclose(signed.relevance["x"][0], own, rtol=1e-3, atol=1e-4), bias
            assert signed.ledger.total().start[0] == pytest.approx([score], rel=1e-5)
        else:
            assert "relevance starts at 0" in text(signed)
        found = both(proto, X, mode="contrastive", target=target).relevance["x"][0]
        assert (found[target] > 0 or not score) and found[1 - target] <= 0, (bias, found)
        assert (both(proto, X, target=target).relevance["x"] >= 0).all()


@pytest.mark.parametrize("last", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_scores_that_are_capped_before_the_head(last: str) -> None:
    capped = [
        node("Mul", ["z", "half"], ["h"]),
        node("Tanh", ["h"], ["t"]),
        node("Mul", ["t", "two"], ["c"]),
        node(last, ["c"], ["y"]),
    ]
    for bias in (0, -6.5, -10):
        made = both(
            linear("capped", bias, nodes=capped), X, mode="epsilon(absolute=1e-6)", target=0
        )
        own = np.array(ONE_SIDED)[0] * X[0]
        score = own.sum() + bias
        start = 2 * np.tanh(score / 2)
        assert np.allclose(made.relevance["x"][0], own / score * start, rtol=1e-3), bias
        assert "relevance starts at 'c'" in text(made)


def test_a_head_says_where_relevance_starts() -> None:
    made = both(linear("softmax", 0), X, mode="epsilon(absolute=1e-6)", keep="all")
    assert text(made) == "relevance starts at 'z', the input of Softmax 'prob'"
    assert made.relevance["y"].tolist() == made.relevance["z"].tolist() == [[6, 0]]
    assert not both(linear("none", 0), X, mode="epsilon(absolute=1e-6)").notes
    assert not both(linear("softmax", 0), X).notes
    assert "starts at the probabilities" in text(both(linear("log-softmax", 0), X))


@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_a_log_softmax_starts_at_its_softmax(mode: str) -> None:
    for bias in (0, -10):
        want = both(linear("softmax", bias, TWO_SIDED), X, mode=mode)
        made = both(linear("log-softmax", bias, TWO_SIDED), X, mode=mode)
        start = made.ledger.total().start
        assert start == pytest.approx(want.ledger.total().start, rel=1e-5)
        if mode == "contrastive":  # a softmax at the head has a saturation gate in default
            assert np.allclose(made.relevance["x"], want.relevance["x"], atol=1e-6)


@pytest.mark.parametrize("head", ["softmax", "sigmoids", "log-softmax"])
def test_the_probability_can_be_asked_for(head: str) -> None:
    made = both(linear(head, 0), X, mode="epsilon(absolute=1e-6)", start="probability", target=1)
    y = made.outputs["y"][0, 1]
    assert made.ledger.total().start[0] == pytest.approx(np.exp(y) if head[0] == "l" else y)
    assert "relevance starts at 'z'" not in text(made)
    with pytest.raises(RequestError, match="\"probability\", not 'logit'"):
        Explainer(linear(head, 0)).explain(X, start="logit")


@pytest.mark.parametrize("mode", ["epsilon(absolute=1e-6)", "contrastive"])
@pytest.mark.parametrize("head", ["none", "softmax", "log-softmax"])
def test_a_constant_added_to_all_scores_turns_no_contrast(head: str, mode: str) -> None:
    w, x = normal(3, 2, seed=4), normal(5, 2, seed=5)
    maps = []
    for bias in (0.0, -3.0, 7.0):
        found = [
            both(linear(head, bias, w), x, mode=mode, start=Contrast(*pair)).relevance["x"]
            for pair in ((0, 1), (1, 0))
        ]
        assert np.array_equal(found[0], -found[1])
        maps.append(found[0])
    if mode == "epsilon(absolute=1e-6)":
        want = x * (w[0] - w[1])
        assert all(np.allclose(found, want, atol=1e-4) for found in maps)
    for found in maps:
        assert (np.sign(found) * np.sign(x * (w[0] - w[1])) * np.abs(found)).sum() > 0


def test_a_policy_has_a_sign_or_not() -> None:
    assert find_policy("epsilon(absolute=1e-6)").signed
    assert not POLICIES["default"].signed and not POLICIES["contrastive"].signed
    try:

        @policy("split with a sign", signed=True)
        def split(p: Any, n: Any, b: Any, r: Any) -> Any:
            """Flat in r."""
            return ((r, -r, 0 * r),)

        found: Policy = POLICIES["split with a sign"]
        assert found.signed and found.reading == "split"
    finally:
        POLICIES.pop("split with a sign", None)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_remains_is_said(engine: Any) -> None:
    x = np.array([[-1.0, -2.0], [0.0, 0.0], [1e-5, 4.0], [3.0, 1.0]], np.float32)
    proto = linear("none", 0, [[1, 0], [0, 1]])
    made = Explainer(proto, engine=engine).explain(x, target=0)
    notes = {note.sample: note.text for note in made.notes}
    assert notes[0] == (
        "the explained score is negative, -1, and mode 'default' has no signs: what is shown made "
        "it negative"
    )
    assert notes[1] == "relevance starts at 0, so that there is nothing to show"
    assert notes[2].startswith("the explained score, 1e-05, is less than a thousandth")
    assert sorted(notes) == [0, 1, 2]


def test_two_columns_made_of_one_sigmoid() -> None:
    proto = model(
        [
            node("Gemm", ["x", "w", "b"], ["z"], "fc"),
            node("Sigmoid", ["z"], ["p"], "s"),
            node("Sub", ["one", "p"], ["q"]),
            node("Concat", ["q", "p"], ["y"], axis=1),
        ],
        {"x": (FLOAT, ["N", 3])},
        {"y": (FLOAT, ["N", 2])},
        {"w": normal(3, 1), "b": np.array([-2], np.float32), "one": np.float32(1)},
    )
    x = normal(6, 3, seed=8)
    own = x * normal(3, 1)[:, 0]
    for target in (0, 1):
        made = both(proto, x, mode="epsilon(absolute=1e-6)", target=target)
        assert np.allclose(made.relevance["x"], own if target else -own, rtol=1e-3, atol=1e-4)
    assert text(made) == "relevance starts at 'z', the input of Sigmoid 's'"


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_a_compiled_file_starts_alike(mode: str, tmp_path: Any) -> None:
    import onnxruntime as ort

    for head in ("softmax", "log-softmax", "softmax in primitives"):
        explainer, x = Explainer(linear(head, -10, TWO_SIDED)), normal(4, 2, seed=2)
        explainer.compile(tmp_path / "m.onnx", mode=mode, target=1)
        session = ort.InferenceSession(str(tmp_path / "m.onnx"))
        (got,) = session.run(["relevance/x"], {"x": x})
        assert np.allclose(got, explainer.explain(x, mode=mode, target=1).relevance["x"], atol=1e-5)
