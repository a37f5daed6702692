"""Slopes of numbers in steps: as if nothing were rounded, whatever the size of the steps read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, UnsupportedError
from tests.graphs import FLOAT, INT64, Array, check_closed, model, node, normal

X = np.array([[2.0, 1.0], [-1.0, 0.5]], np.float32)
W = np.array([[100], [50]], np.int8)
TAIL = [node("Cast", ["i"], ["f"], to=FLOAT), node("Mul", ["f", "k"], ["y"])]
WAYS: dict[str, list[Any]] = {
    "an integer product": [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("MatMulInteger", ["q", "w", "z"], ["i"]),
    ],
    "moved on the way": [
        node("QuantizeLinear", ["x", "s", "z"], ["q0"]),
        node("Transpose", ["q0"], ["q1"], perm=[1, 0]),
        node("Transpose", ["q1"], ["q"], perm=[1, 0]),
        node("MatMulInteger", ["q", "w", "z"], ["i"]),
    ],
    "steps by column": [
        node("QuantizeLinear", ["x", "s of two", "z of two"], ["q"], axis=1),
        node("DequantizeLinear", ["q", "s of two", "z of two"], ["d"], axis=1),
        node("QuantizeLinear", ["d", "s", "z"], ["q2"]),
        node("MatMulInteger", ["q2", "w", "z"], ["i"]),
    ],
    "a bias of integers": [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("MatMulInteger", ["q", "w", "z"], ["n"]),
        node("Add", ["n", "b"], ["i"]),
    ],
}


def network(way: str) -> Any:
    """y = x w k s, by integers."""
    weights = {
        "s": np.float32(0.02),
        "z": np.uint8(128),
        "s of two": np.array([0.02, 0.01], np.float32),
        "z of two": np.array([128, 128], np.uint8),
        "w": W,
        "k": np.float32(0.0002),
        "b": np.array([1000], np.int32),
    }
    inputs = {"x": (FLOAT, ["N", 2])}
    return model([*WAYS[way], *TAIL], inputs, {"y": (FLOAT, ["N", 1])}, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("way", WAYS)
def test_slopes_are_of_the_numbers_that_integers_stand_for(way: str, engine: Any) -> None:
    explainer = Explainer(network(way), engine=engine)
    slope = np.array([[1.0, 0.5]], np.float32)
    for mode in ("gradient", "gradient_x_input", "lrp(0.5)", "attnlrp", "zplus", "deeplift"):
        x = np.abs(X) if mode == "zplus" else X
        baseline = {"baseline": "zeros"} if mode == "deeplift" else {}
        made = explainer.explain(x, mode=mode, task="regression", **baseline)
        want: Array = slope + 0 * x if mode == "gradient" else slope * x
        np.testing.assert_allclose(made.relevance["x"], want, rtol=1e-5)
        if mode not in ("gradient",):
            check_closed(made)
            assert np.allclose(made.ledger.total().unassigned, 0, atol=1e-5)


def test_steps_of_several_sizes_have_no_slope() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("MatMulInteger", ["q", "w", "z"], ["i"]),
        node("Cast", ["i"], ["f"], to=FLOAT),
        node("DequantizeLinear", ["q", "s2", "z"], ["d"]),
        node("ReduceSum", ["d", "last"], ["t"], keepdims=1),
        node("Add", ["f", "t"], ["y"]),
    ]
    weights = {"s": np.float32(0.02), "s2": np.float32(0.5), "z": np.uint8(128), "w": W}
    weights["last"] = np.array([1])
    inputs = {"x": (FLOAT, ["N", 2])}
    explainer = Explainer(model(nodes, inputs, {"y": (FLOAT, ["N", 1])}, weights))
    with pytest.raises(UnsupportedError, match="steps of several sizes"):
        explainer.explain(X, mode="lrp")
    check_closed(explainer.explain(X, mode="default"))


@pytest.mark.parametrize("mode", ["lrp(0.5)", "zplus", "gamma(1)", "deeplift"])
def test_what_is_moved_before_it_is_scaled_has_the_joined_value(mode: str) -> None:
    """A product, moved, scaled and shifted: one linear operator, whose sums are the scaled ones."""
    moved = [
        node("MatMul", ["x", "v"], ["i"]),
        node("Transpose", ["i"], ["j"], perm=[1, 0]),
        node("Mul", ["j", "scales"], ["l"]),
        node("Add", ["l", "shifts"], ["n"]),
        node("Transpose", ["n"], ["z"], perm=[1, 0]),
    ]
    plain = [
        node("MatMul", ["x", "v"], ["i"]),
        node("Mul", ["i", "row"], ["l"]),
        node("Add", ["l", "shift row"], ["z"]),
    ]
    scales, shifts = np.float32([0.1, -20, 3]), np.float32([1, 2, -3])
    weights = {
        "v": np.float32([[1, -2, 3], [4, 5, -6]]),
        "u": np.float32([[1], [-2], [0.5]]),
        "scales": scales[:, None],
        "shifts": shifts[:, None],
        "row": scales,
        "shift row": shifts,
    }
    found = []
    for nodes in (moved, plain):
        tail = [node("Relu", ["z"], ["a"]), node("MatMul", ["a", "u"], ["y"])]
        inputs = {"x": (FLOAT, ["N", 2])}
        proto = model([*nodes, *tail], inputs, {"y": (FLOAT, ["N", 1])}, weights)
        baseline = {"baseline": "zeros"} if mode == "deeplift" else {}
        made = Explainer(proto).explain(X, mode=mode, task="regression", **baseline)
        check_closed(made)
        found.append(made.relevance["x"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("mode", ["lrp", "attnlrp", "gradient_x_input", "deeplift", "default"])
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_words_of_a_table_of_integers_have_what_those_of_its_floats_have(
    mode: str, engine: Any
) -> None:
    """The mean word that is no padding: ids have all of it, the mask beside them none."""
    rng = np.random.default_rng(0)
    table, scale, zero = rng.integers(0, 256, (9, 4)).astype(np.uint8), np.float32(0.01), 120
    weights = {
        "table": (table.astype(np.float32) - zero) * scale,
        "q": table,
        "s": scale,
        "z": np.uint8(zero),
        "w": rng.normal(size=(4, 2)).astype(np.float32),
        "last": np.array([-1]),
        "words": np.array([1]),
    }
    ways = (
        [node("Gather", ["table", "ids"], ["h"])],
        [node("Gather", ["q", "ids"], ["g"]), node("DequantizeLinear", ["g", "s", "z"], ["h"])],
    )
    tail = [
        node("Cast", ["mask"], ["f"], to=FLOAT),
        node("Unsqueeze", ["f", "last"], ["m"]),
        node("Mul", ["h", "m"], ["seen"]),
        node("ReduceSum", ["seen", "words"], ["sum"], keepdims=0),
        node("ReduceSum", ["f", "words"], ["count"], keepdims=1),
        node("Div", ["sum", "count"], ["mean"]),
        node("Relu", ["mean"], ["a"]),
        node("MatMul", ["a", "w"], ["y"]),
    ]
    ids, mask = np.array([[1, 4, 8], [3, 2, 0]]), np.array([[1, 1, 1], [1, 1, 0]])
    feeds, found = {"ids": ids, "mask": mask}, []
    for way in ways:
        inputs = {name: (INT64, ["N", "T"]) for name in feeds}
        proto = model([*way, *tail], inputs, {"y": (FLOAT, ["N", 2])}, weights)
        baseline = {"baseline": {"ids": ids * 0, "mask": mask}} if mode == "deeplift" else {}
        made = Explainer(proto, engine=engine).explain(feeds, mode=mode, target=1, **baseline)
        check_closed(made)
        assert not made.relevance["mask"].any()
        found.append(made.relevance["ids"])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)
    assert np.abs(found[0]).sum() > 0.01


def relu_network(way: str) -> Any:
    """y = max(0, x v) u in steps; "steps" has no Relu: its steps of the hidden units begin at 0."""
    relu = [node("Relu", ["h"], ["a"])]
    steps = [
        node("QuantizeLinear", ["h", "s", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "s", "zero"], ["a"]),
    ]
    nodes = [
        node("MatMul", ["x", "v"], ["h"]),
        *(relu if way == "relu" else steps),
        node("MatMul", ["a", "u"], ["y"]),
    ]
    weights = {
        "v": np.array([[1, -2, 3, 0], [4, 5, -6, 0]], np.float32),
        "u": np.array([[1, 3], [-2, 1], [0.5, -1], [7, 7]], np.float32),
        "s": np.float32(0.0001),
        "zero": np.uint16(0),
    }
    inputs = {"x": (FLOAT, ["N", 2])}
    return model(nodes, inputs, {"y": (FLOAT, ["N", 2])}, weights, opset=21)


MODES = ("gradient", "gradient_x_input", "lrp", "attnlrp", "zplus", "cnn", "deeplift")


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", [*MODES, "integrated_gradients(steps=8)", "default"])
def test_steps_that_begin_at_zero_are_the_relu_that_was_left_out(mode: str, engine: Any) -> None:
    """Quantisers leave out a Relu before them; units that are cut hand on nothing."""
    x = np.array([[0.3, -0.2], [-0.25, 0.1], [0.05, 0.05]], np.float32)
    baseline = {"baseline": -x} if mode.startswith(("deeplift", "integrated")) else {}
    found = []
    for way in ("relu", "steps"):
        explainer = Explainer(relu_network(way), engine=engine)
        made = explainer.explain(x, mode=mode, target=0, **baseline)
        balance = made.ledger.total()
        assert np.abs(balance.residual).max() < 1e-5
        found.append((made.relevance["x"], balance.unassigned))
    (want, left), (got, rest) = found
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(rest, left, atol=4e-3)  # what was rounded is in the books


@pytest.mark.parametrize("mode", ["lrp", "deeplift"])
def test_what_lies_beyond_the_last_step_is_cut(mode: str) -> None:
    """Books go by what the steps reach: 0.02 * 127 of a 5, so that the unit has 2.54 of it."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    weights = {"s": np.float32(0.02), "z": np.uint8(128), "w": np.float32([[3.0], [1.0]])}
    inputs = {"x": (FLOAT, ["N", 2])}
    explainer = Explainer(model(nodes, inputs, {"y": (FLOAT, ["N", 1])}, weights))
    made = explainer.explain(np.float32([[5, 1], [1, -9]]), mode=mode, task="regression")
    want = [[3 * 2.54, 1], [3, -2.56]]
    np.testing.assert_allclose(made.relevance["x"], want, rtol=1e-5)
    check_closed(made)
    slopes = explainer.explain(np.float32([[5, 1]]), mode="gradient", task="regression")
    np.testing.assert_allclose(slopes.relevance["x"], [[3, 1]])  # no function lies there


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["gradient_x_input", "lrp", "attnlrp", "deeplift"])
@pytest.mark.parametrize("steps", ["computed", "by column"])
def test_what_is_rounded_is_unassigned(steps: str, mode: str, engine: Any) -> None:
    """Two layers as they are quantised while they run, and one by several scales of constants."""
    rounded = {
        "computed": node("DynamicQuantizeLinear", ["h"], ["q", "s", "z"]),
        "by column": node("QuantizeLinear", ["h", "s", "z"], ["q"], axis=1),
    }
    scales = {"s": np.array([0.03, 0.05, 0.04], np.float32), "z": np.full(3, 128, np.uint8)}
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            rounded[steps],
            node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=1),
            node("MatMul", ["d", "v"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 2])},
        {"w": normal(4, 3), "v": normal(3, 2, seed=1), **(scales if steps == "by column" else {})},
    )
    x = normal(5, 4, seed=2)
    made = Explainer(proto, engine=engine).explain(
        x, mode=mode, keep=["h"], task="regression", target=0
    )
    check_closed(made)
    (entry,) = (e for e in made.ledger.values() if e.operator.endswith("QuantizeLinear"))
    np.testing.assert_allclose(
        entry.unassigned, entry.incoming - made.relevance["h"].sum(1), atol=1e-6
    )
    assert np.abs(entry.unassigned).min() > 1e-5
