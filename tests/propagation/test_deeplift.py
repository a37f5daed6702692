"""DeepLIFT's rescale rule: differences to a reference, handed back whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

from backtrace_onnx import Explainer, InputError, RequestError
from tests.graphs import FLOAT, mlp, model, node, normal

Array = npt.NDArray[Any]


def _closes(made: Any, rtol: float = 1e-3) -> None:
    total = made.ledger.total()
    sizes = np.abs(total.start) + np.abs(total.inputs)
    assert (np.abs(total.start - total.inputs - total.unassigned) <= 1e-5 * sizes).all()
    np.testing.assert_allclose(total.inputs, total.start, rtol=rtol, atol=1e-5)


def test_a_network_by_hand() -> None:
    """Shrikumar et al. 2017: multipliers of Relu are differences of outputs over inputs."""
    x, x0 = normal(3, 4, seed=7), normal(4, seed=8)
    w, b, v = normal(4, 5), normal(5, seed=1), normal(5, 3, seed=2)
    made = Explainer(mlp()).explain(x, mode="deeplift", target=2, baseline=x0)
    h, h0 = x @ w + b, x0 @ w + b
    multiplier = (np.maximum(h, 0) - np.maximum(h0, 0)) / (h - h0) * v[:, 2]
    np.testing.assert_allclose(made.relevance["x"], (x - x0) * (multiplier @ w.T), rtol=1e-4)
    _closes(made)


def _attention() -> Any:
    """softmax(x x^T) x, a layer normalisation in primitives, and a sum over the tokens."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["x", "t"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1),
        node("MatMul", ["p", "x"], ["o"]),
        node("ReduceMean", ["o", "last"], ["mean"]),
        node("Sub", ["o", "mean"], ["c"]),
        node("Mul", ["c", "c"], ["square"]),
        node("ReduceMean", ["square", "last"], ["variance"]),
        node("Add", ["variance", "eps"], ["more"]),
        node("Sqrt", ["more"], ["deviation"]),
        node("Div", ["c", "deviation"], ["n"]),
        node("Mul", ["n", "o"], ["g"]),
        node("ReduceSum", ["g", "tokens"], ["best"], keepdims=0),
        node("Tanh", ["best"], ["a"]),
        node("MatMul", ["a", "w"], ["y"]),
    ]
    weights = {
        "last": np.array([-1]),
        "tokens": np.array([1]),
        "eps": np.float32(1e-2),
        "w": normal(4, 3, seed=3),
    }
    return model(nodes, {"x": (FLOAT, ["n", 3, 4])}, {"y": (FLOAT, ["n", 3])}, weights)


def test_what_bends_is_averaged_until_it_adds_up() -> None:
    x, x0 = normal(2, 3, 4, seed=5), normal(3, 4, seed=6)
    explainer = Explainer(_attention())
    made = explainer.explain(x, mode="deeplift", target=1, baseline=x0)
    _closes(made, rtol=1e-2)
    assert (np.abs(made.relevance["x"]).sum((1, 2)) > 0.1).all()
    for k in range(2):
        alone = explainer.explain(x[k : k + 1], mode="deeplift", target=1, baseline=x0)
        np.testing.assert_allclose(made.relevance["x"][k], alone.relevance["x"][0], atol=1e-5)


def test_the_reference_itself_has_nothing_to_explain() -> None:
    x = normal(2, 4, seed=9)
    made = Explainer(mlp()).explain(x, mode="deeplift", baseline=x)
    assert not made.relevance["x"].any() and not made.ledger.total().start.any()


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (np.zeros(3), "does not fit"),
        ("blurred", "unknown baseline"),
        ({"z": np.zeros(4)}, "no input of the model: z"),
    ],
)
def test_a_baseline_that_does_not_fit_is_said(baseline: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        Explainer(mlp()).explain(normal(2, 4), mode="deeplift", baseline=baseline)
    assert said in str(caught.value)


def test_what_changing_winners_leave_is_unassigned() -> None:
    """Which entries are among the largest jumps on the way, so that points miss a part."""
    nodes = [node("TopK", ["x", "k"], ["t", "i"], axis=1), node("MatMul", ["t", "V"], ["y"])]
    weights = {"k": np.array([3]), "V": normal(3, 2, seed=3)}
    proto = model(nodes, {"x": (FLOAT, ["n", 6])}, {"y": (FLOAT, ["n", 2])}, weights)
    for engine in ("numba", "onnxruntime"):
        made = Explainer(proto, engine=engine).explain(
            normal(4, 6, seed=1), mode="deeplift", target=1, baseline=normal(6, seed=2)
        )
        total = made.ledger.total()
        assert total.relative_residual < 1e-5 and total.unassigned.any()
        scale = np.abs(total.start).max()
        np.testing.assert_allclose(total.inputs, total.start, atol=0.1 * scale)


WINNERS = {
    "Max": (np.max, [node("Split", ["x"], ["a", "b", "c"], axis=1, num_outputs=3)]),
    "Min": (np.min, [node("Split", ["x"], ["a", "b", "c"], axis=1, num_outputs=3)]),
    "ReduceMax": (np.max, []),
    "ReduceMin": (np.min, []),
    "GlobalMaxPool": (np.max, []),
}


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("op", sorted(WINNERS))
def test_winners_have_exactly_the_part_of_the_line_on_which_they_win(op: str, engine: Any) -> None:
    """Against the winners at 4,000 places; entries 0 and 1 are alike all the way."""
    best, first = WINNERS[op]
    names = ["a", "b", "c"] if first else ["x", "axes"] if op.startswith("Reduce") else ["x"]
    options = {"keepdims": 0} if op.startswith("Reduce") else {}
    nodes = [*first, node(op, names, ["w"], **options), node("Flatten", ["w"], ["y"])]
    weights = {"axes": np.array([1, 2])} if op.startswith("Reduce") else {}
    shape = ["n", 1, 3] if op == "GlobalMaxPool" else ["n", 3, 1]
    proto = model(nodes, {"x": (FLOAT, shape)}, {"y": (FLOAT, ["n", 1])}, weights)
    x0, x = normal(30, 3, seed=6), normal(30, 3, seed=7)
    x0[:, 1], x[:, 1] = x0[:, 0], x[:, 0]
    places = (np.arange(4000) + 0.5)[:, None, None] / 4000
    line = x0 + places * (x - x0)
    wins = line == best(line, -1, keepdims=True)
    mean = (wins / wins.sum(-1, keepdims=True)).mean(0)
    own = (30, *shape[1:])
    made = Explainer(proto, engine=engine).explain(
        x.reshape(own), mode="deeplift", target=0, baseline=x0.reshape(own), keep=["x"]
    )
    np.testing.assert_allclose(made.slopes["x"].reshape(30, 3), mean, atol=1e-3)
    _closes(made, rtol=1e-4)


def test_steps_that_differ_from_the_baselines_are_named() -> None:
    nodes = [node("Round", ["x"], ["r"], "steps"), node("MatMul", ["r", "v"], ["y"], "sum")]
    weights = {"v": np.ones((3, 1), np.float32)}
    proto = model(nodes, {"x": (FLOAT, ["n", 3])}, {"y": (FLOAT, ["n", 1])}, weights)
    x, near = np.float32([[1.2, 2.1, -4.0]]), np.float32([[0.8, 2.4, -4.4]])
    made = Explainer(proto).explain(x, mode="deeplift", baseline=0.0, task="regression")
    assert sum("'steps' (Round): between the steps" in note.text for note in made.notes) == 1
    assert not made.relevance["x"].any()
    np.testing.assert_allclose(made.ledger["steps"].unassigned, [[np.rint(x).sum()]])
    same = Explainer(proto).explain(x, mode="deeplift", baseline=near, task="regression")
    assert not any("between the steps" in note.text for note in same.notes)


def test_modes_do_not_share_texts() -> None:
    """One explainer asked by every mode, one after another, answers as a new one does."""
    nodes = [
        node("Mul", ["x", "x"], ["square"]),
        node("Pow", ["x", "three"], ["cube"]),
        node("Mul", ["square", "cube"], ["m"]),
        node("Softmax", ["m"], ["p"], axis=-1),
        node("LayerNormalization", ["m", "ones"], ["n"], axis=-1, epsilon=0.1),
        node("Mul", ["p", "n"], ["q"]),
        node("Tanh", ["q"], ["a"]),
        node("MatMul", ["a", "w"], ["y"]),
    ]
    weights = {"three": np.float32(3), "ones": np.ones(4, np.float32), "w": normal(4, 3, seed=3)}
    made = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)
    x = normal(2, 4, seed=4)
    for engine in ("numba", "onnxruntime"):
        several = Explainer(made, engine=engine)
        for mode in (
            "gradient",
            "lrp",
            "attnlrp",
            "cp-lrp",
            "gamma(1)",
            "gamma(2)",
            "zplus",
            "lrp",
        ):
            alone = Explainer(made, engine=engine).explain(x, mode=mode)
            again = several.explain(x, mode=mode)
            np.testing.assert_array_equal(again.relevance["x"], alone.relevance["x"], mode)


def _pools() -> Any:
    """Two pools by maximum that overlap, behind a convolution and a Relu."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("MaxPool", ["p"], ["q"], kernel_shape=[2, 2], ceil_mode=1, strides=[2, 1]),
        node("Flatten", ["q"], ["f"]),
        node("MatMul", ["f", "v"], ["y"]),
    ]
    weights = {"w": normal(4, 3, 3, 3, seed=1), "b": normal(4, seed=2), "v": normal(48, 5, seed=3)}
    return model(nodes, {"x": (FLOAT, ["n", 3, 9, 10])}, {"y": (FLOAT, ["n", 5])}, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("baseline", ["zeros", normal(3, 9, 10, seed=4)])
def test_pools_by_maximum_hand_back_the_whole_difference(baseline: Any, engine: Any) -> None:
    x = normal(3, 3, 9, 10, seed=5)
    explainer = Explainer(_pools(), engine=engine)
    made = explainer.explain(x, mode="deeplift", target=1, baseline=baseline)
    _closes(made, rtol=1e-5)
    other = Explainer(_pools()).explain(x, mode="deeplift", target=1, baseline=baseline)
    scale = np.abs(other.relevance["x"]).max()
    np.testing.assert_allclose(made.relevance["x"], other.relevance["x"], atol=1e-5 * scale)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_elements_of_a_window_share_by_how_long_they_are_the_largest(engine: Any) -> None:
    """Against the winners at 20,000 places of the line; elements 0 and 1 are alike all the way."""
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[5]),
        node("Flatten", ["p"], ["y"]),
    ]
    proto = model(nodes, {"x": (FLOAT, ["n", 1, 5])}, {"y": (FLOAT, ["n", 1])}, {})
    x0, x = normal(40, 1, 5, seed=6), normal(40, 1, 5, seed=7)
    x0[:, :, 1], x[:, :, 1] = x0[:, :, 0], x[:, :, 0]
    x0[:9] = 0.5  # no element stands out
    places = (np.arange(20_000) + 0.5)[:, None, None] / 20_000
    line = x0[:, 0] + places * (x - x0)[:, 0]
    wins = line == line.max(-1, keepdims=True)
    want = (x - x0)[:, 0] * (wins / wins.sum(-1, keepdims=True)).mean(0)
    explainer = Explainer(proto, engine=engine)
    for k in (0, 12, 39):
        made = explainer.explain(
            x[k : k + 1], mode="deeplift", task="regression", baseline=x0[k], scaler=None
        )
        np.testing.assert_allclose(made.relevance["x"][0, 0], want[k], atol=1e-3)


def test_tensors_whose_size_the_baseline_changes_are_not_compared() -> None:
    """As many numbers are gathered as are not 0: none of a baseline of zeros."""
    proto = model(
        [
            node("NonZero", ["x"], ["columns"]),
            node("Transpose", ["columns"], ["places"], perm=[1, 0]),
            node("GatherND", ["x", "places"], ["found"]),
            node("ReduceSum", ["found"], ["y"], keepdims=0),
        ],
        {"x": (FLOAT, [4])},
        {"y": (FLOAT, [])},
    )
    x = np.array([1.0, 0.0, 2.0, 3.0], np.float32)
    explainer = Explainer(proto)
    with pytest.raises(
        InputError, match=r"'found' is \[3\] at the inputs and \[0\] at the baseline"
    ):
        explainer.explain(x, mode="deeplift", task="regression")
    found = explainer.explain(
        x, mode="deeplift", task="regression", baseline=np.ones_like(x) * (x > 0)
    )
    assert np.allclose(found.relevance["x"], [0, 0, 1, 2])


def test_an_output_that_is_a_sequence_beside_the_explained_one_is_no_hindrance() -> None:
    """As the maps are that classifiers of scikit-learn return beside their scores."""
    proto = mlp()
    proto.graph.node.append(node("SequenceConstruct", ["y", "h"], ["both"]))
    proto.graph.output.append(helper.make_tensor_sequence_value_info("both", FLOAT, None))
    x = normal(3, 4, seed=3)
    made = Explainer(proto).explain(x, mode="deeplift", baseline=x[::-1], output="y")
    plain = Explainer(mlp()).explain(x, mode="deeplift", baseline=x[::-1])
    np.testing.assert_array_equal(made.relevance["x"], plain.relevance["x"])
