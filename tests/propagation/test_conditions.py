"""What passes a condition, what is cut, and that the parts of a tensor make up the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, Explanation, RequestError
from tests.graphs import FLOAT, model, node, normal

W1, B1, C2, F = normal(5, 3, 3, 3, seed=1), normal(5, seed=2), normal(6, 5, 3, 3), normal(6, 4)
X = normal(2, 3, 6, 5, seed=5)
MODES = (
    *("default", "contrastive", "epsilon(absolute=1e-6)", "gradient", "gradient_x_input"),
    *("lrp", "attnlrp", "cnn", "gamma(0.25)", "deeplift"),
)
ENGINES = ("numba", "onnxruntime")


def _network() -> Any:
    """x -> conv1 -> relu a -> conv2 -> relu c -> mean -> y [n, 4], where a is the only way."""
    nodes = [
        node("Conv", ["x", "W1", "B1"], ["z"], "conv1", pads=[1, 1, 1, 1]),
        node("Relu", ["z"], ["a"], "act1"),
        node("Conv", ["a", "C2"], ["c1"], "conv2", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["c"], "act2"),
        node("GlobalAveragePool", ["c"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("MatMul", ["f", "F"], ["y"], "fc"),
    ]
    kinds = {"x": (FLOAT, ["n", 3, 6, 5])}, {"y": (FLOAT, ["n", 4])}
    return model(nodes, *kinds, {"W1": W1, "B1": B1, "C2": C2, "F": F})


def _explain(mode: str, engine: Any = "numba", **asked: Any) -> Explanation:
    compared = {"baseline": "zeros"} if mode == "deeplift" else {}
    return Explainer(_network(), engine=engine).explain(X, mode=mode, **asked, **compared)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_the_parts_of_a_tensor_make_up_the_whole(mode: str, engine: Any) -> None:
    if mode == "deeplift" and engine == "onnxruntime":
        pytest.skip("one run more than a compiled file makes")
    whole = _explain(mode, engine, keep=["a"])
    parts = [_explain(mode, engine, through={"a": part}) for part in ([0, 2], [1], [3, -1])]
    together = sum(part.relevance["x"] for part in parts)
    near = {"rtol": 1e-4, "atol": 1e-5 * float(np.abs(whole.relevance["x"]).max())}
    np.testing.assert_allclose(together, whole.relevance["x"], **near)
    for part in parts:
        total = part.ledger.total()
        assert total.relative_residual < 1e-5
        assert part.ledger.cut.keys() == {"a"}
        np.testing.assert_array_equal(part.ledger.cut["a"], total.cut)
    cut = sum(part.ledger.total().cut for part in parts)
    arrived = [np.asarray(g["a"]).sum((1, 2, 3)) for g in (whole.positive, whole.negative) if g]
    if mode != "gradient":  # whose relevance is the slope
        np.testing.assert_allclose(cut, 2 * np.stack(arrived), rtol=1e-4, atol=1e-5)


def test_the_formula_of_a_gradient_through_two_channels() -> None:
    """Slopes behind c, by hand: the mean's, where c and its unit are open, and one channel."""
    made = _explain("gradient", target=1, through={"c": [4], "a": [0, 2]}, keep=["a", "c"])
    values = _values(("z", "c1"))
    m_c = np.broadcast_to(F[:, 1][None, :, None, None] / 30, values["c1"].shape)
    only = np.zeros(6, bool)
    only[4] = True
    m_c = m_c * only[None, :, None, None]
    np.testing.assert_allclose(made.slopes["c"], m_c, rtol=1e-5)
    m_a = _back(m_c * (values["c1"] > 0), C2) * np.isin(range(5), [0, 2])[None, :, None, None]
    np.testing.assert_allclose(made.slopes["a"], m_a, rtol=1e-4, atol=1e-7)
    m_x = _back(m_a * (values["z"] > 0), W1)
    np.testing.assert_allclose(made.relevance["x"], m_x, rtol=1e-4, atol=1e-7)
    assert made.ledger.cut.keys() == {"a", "c"}


def _values(names: tuple[str, ...]) -> dict[str, Any]:
    proto = _network()
    proto.graph.output.extend(type(proto.graph.output[0])(name=name) for name in names)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), {"x": X}), strict=True))


def _back(m: Any, w: Any) -> Any:
    """The adjoint of a convolution 3 x 3 with a border of zeros, tap by tap."""
    n, _, rows, columns = m.shape
    out = np.zeros((n, w.shape[1], rows + 2, columns + 2))
    for i in range(3):
        for j in range(3):
            out[:, :, i : i + rows, j : j + columns] += np.einsum("nohw,oc->nchw", m, w[..., i, j])
    return out[:, :, 1:-1, 1:-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_are_arrays_that_broadcast_too(engine: Any) -> None:
    left = np.arange(5) < 2
    made = _explain("lrp", engine, through={"a": left})
    assert made.relevance["x"][..., :1].any()
    assert not made.relevance["x"][..., 3:].any()
    first = np.array([True, False]).reshape(2, 1, 1, 1)  # one sample
    alone = _explain("lrp", engine, through={"a": first})
    np.testing.assert_array_equal(
        alone.relevance["x"][0], _explain("lrp", engine).relevance["x"][0]
    )
    assert not alone.relevance["x"][1].any()
    nothing = _explain("lrp", engine, through={"a": []})
    assert not nothing.relevance["x"].any()


def test_inputs_are_tensors_too() -> None:
    made, whole = _explain("lrp", through={"x": [1]}), _explain("lrp")
    np.testing.assert_array_equal(made.relevance["x"][:, 1], whole.relevance["x"][:, 1])
    assert not made.relevance["x"][:, [0, 2]].any()
    assert made.ledger.total().relative_residual < 1e-6


def test_a_compiled_file_has_the_mask_inside(tmp_path: Path) -> None:
    explainer = Explainer(_network())
    explainer.compile(tmp_path / "m.onnx", mode="lrp", through={"a": [1, 3]}, target=2)
    session = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["relevance/x"], {"x": X})
    want = explainer.explain(X, mode="lrp", through={"a": [1, 3]}, target=2).relevance["x"]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


def _residual() -> Any:
    """h = x V; y = (h + relu(h) U) w, where h goes around the relu as well."""
    nodes = [
        node("MatMul", ["x", "V"], ["h"], "in"),
        node("Relu", ["h"], ["a"], "act"),
        node("MatMul", ["a", "U"], ["b"], "block"),
        node("Add", ["h", "b"], ["s"], "skip"),
        node("MatMul", ["s", "w"], ["y"], "out"),
    ]
    weights = {"V": normal(4, 5), "U": normal(5, 5, seed=1), "w": normal(5, 3, seed=2)}
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)


def test_ways_around_stay_open_and_are_told() -> None:
    rows = normal(2, 4, seed=7)
    explainer = Explainer(_residual())
    made = explainer.explain(rows, mode="gradient", target=0, through={"b": []})
    np.testing.assert_allclose(
        made.relevance["x"], np.tile(normal(4, 5) @ normal(5, 3, seed=2)[:, 0], (2, 1)), rtol=1e-5
    )
    assert any("on ways around 'b'" in note.text for note in made.notes)
    only = explainer.explain(rows, mode="gradient", target=0, through={"s": [1]})
    assert not any("ways around" in note.text for note in only.notes)
    kept = explainer.explain(rows, mode="gradient", target=0, keep=["b"]).slopes["b"]
    went = explainer.explain(rows, mode="gradient", output="b", start=kept).relevance["x"]
    whole = explainer.explain(rows, mode="gradient", target=0).relevance["x"]
    np.testing.assert_allclose(went + made.relevance["x"], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("through", "message"),
    [
        ({"aa": [0]}, "through: the model has no tensor 'aa'; did you mean 'a'"),
        ({"y": [0]}, "'y' is what is explained; choose parts of it by target or start"),
        ({"F": [0]}, "'F' is a constant"),
        ({"a": [5]}, "tensor 'a' has 5 channels, on axis 1; there is no 5"),
        ({"a": np.ones(4, bool)}, r"shape \(4,\) does not broadcast to tensor 'a'"),
        ({"a": np.ones((3, 1, 1, 1), bool)}, r"does not broadcast to tensor 'a' of shape \(2, "),
        ({"a": [0.5]}, "is a list of numbers of its channels"),
        ({"a": "1"}, "is a list of numbers of its channels"),
        (["a"], r"through is \{tensor: mask\}"),
    ],
)
def test_what_cannot_be_passed(through: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        _explain("lrp", through=through)


def test_modes_of_several_walks_have_no_conditions() -> None:
    with pytest.raises(RequestError, match="is made of several walks, and through= is for modes"):
        _explain("smoothgrad", through={"a": [0]})


def test_several_targets_have_the_conditions_and_slopes_that_each_alone_would() -> None:
    explainer = Explainer(_network())
    for asked in ({"keep": ["a"]}, {"through": {"a": [1]}}):
        for target, found in enumerate(
            explainer.explain(X, mode="lrp", targets=[0, 1, 2], **asked)
        ):
            alone = explainer.explain(X, mode="lrp", target=target, **asked)
            assert found.slopes.keys() == alone.slopes.keys()
            for name, m in alone.slopes.items():
                np.testing.assert_array_equal(found.slopes[name], m)
            np.testing.assert_array_equal(found.ledger.total().cut, alone.ledger.total().cut)


def test_a_saved_explanation_tells_what_was_cut(tmp_path: Path) -> None:
    made = _explain("lrp", through={"a": [1]}, keep=["c"])
    made.save(tmp_path / "made.npz")
    again = Explanation.load(tmp_path / "made.npz")
    assert again.ledger.cut.keys() == {"a"}
    np.testing.assert_array_equal(again.ledger.cut["a"], made.ledger.cut["a"])
    np.testing.assert_array_equal(again.ledger.total().cut, made.ledger.total().cut)
    np.testing.assert_array_equal(again.slopes["c"], made.slopes["c"])
