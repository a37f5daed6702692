"""Rules of single nodes against the formulas they are published as, on dense matrices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, RequestError, UnsupportedError
from tests.graphs import FLOAT, check_closed, mlp, model, node, normal

Array = npt.NDArray[Any]
Back = Callable[[Array, Array, Array, Array], Array]

W1, B1 = normal(6, 5, seed=1), normal(6, seed=2)
W2, B2 = normal(3, 6, seed=3), normal(3, seed=4)


def _net() -> Any:
    nodes = [
        node("Gemm", ["x", "W1", "B1"], ["h"], transB=1),
        node("Relu", ["h"], ["a"]),
        node("Gemm", ["a", "W2", "B2"], ["y"], transB=1),
    ]
    weights = {"W1": W1, "B1": B1, "W2": W2, "B2": B2}
    return model(nodes, {"x": (FLOAT, ["n", 5])}, {"y": (FLOAT, ["n", 3])}, weights)


def _shared(contributions: Array, total: Array, r: Array) -> Array:
    """Contributions [out, in] as parts of the total [out], times relevance [out]."""
    share = np.divide(r, total, out=np.zeros_like(r), where=total != 0)
    return np.asarray((contributions * share[:, None]).sum(0))


def _gamma(w: Array, b: Array, x: Array, r: Array, gamma: float = 0.25) -> Array:
    c, t = w * x, w @ x + b
    favoured = np.where(t[:, None] >= 0, np.maximum(c, 0), np.minimum(c, 0))
    bias = np.where(t >= 0, np.maximum(b, 0), np.minimum(b, 0))
    made = c + gamma * favoured
    return _shared(made, made.sum(1) + b + gamma * bias, r)


def _zplus(w: Array, b: Array, x: Array, r: Array) -> Array:
    positive = np.maximum(w * x, 0)
    return _shared(positive, positive.sum(1) + np.maximum(b, 0), r)


def _alphabeta(w: Array, b: Array, x: Array, r: Array) -> Array:
    c = w * x
    up, down = np.maximum(c, 0), np.minimum(c, 0)
    above, below = up.sum(1) + np.maximum(b, 0), down.sum(1) + np.minimum(b, 0)
    return 2 * _shared(up, above, r) - _shared(down, below, r)


def _flat(w: Array, b: Array, x: Array, r: Array) -> Array:
    ones = np.ones_like(w)
    return _shared(ones, ones.sum(1), r)


def _wsquare(w: Array, b: Array, x: Array, r: Array) -> Array:
    return _shared(w**2, (w**2).sum(1), r)


def _box(w: Array, b: Array, x: Array, r: Array) -> Array:
    made = w * x + 4 * np.maximum(w, 0) - 4 * np.minimum(w, 0)
    return _shared(made, made.sum(1), r)


def _absolute(w: Array, b: Array, x: Array, r: Array, size: float = 0.3) -> Array:
    t = w @ x + b
    return _shared(w * x, t + np.where(t < 0, -size, size), r)


def _relative(w: Array, b: Array, x: Array, r: Array) -> Array:
    return _absolute(w, b, x, r, 0.3 * float(np.sqrt(np.mean((w @ x + b) ** 2))))


def _plain(w: Array, b: Array, x: Array, r: Array) -> Array:
    return _shared(w * x, w @ x + b, r)


CASES: list[tuple[Any, Back, Back]] = [
    ("gamma(0.25)", _gamma, _gamma),
    ("zplus", _zplus, _zplus),
    ("alphabeta(2, 1)", _alphabeta, _alphabeta),
    ("epsilon(0.3)", _relative, _plain),  # the last layer has no stabiliser
    ("epsilon(epsilon=0.3)", _relative, _plain),
    ("lrp(0.3)", _relative, _plain),
    ("epsilon(absolute=0.3)", _absolute, _absolute),
    ("first: epsilon(absolute=0.3), last: epsilon(0.3)", _absolute, _plain),
    ("first: flat", _flat, _plain),
    ("first: wsquare, last: zplus", _wsquare, _zplus),
    ("first: box(-4, 4), dense: gamma(0.25)", _box, _gamma),
    ([("h", "zplus"), ("Gemm", "gamma(0.25)")], _zplus, _gamma),
]


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize(("mode", "first", "last"), CASES, ids=[str(case[0]) for case in CASES])
def test_a_rule_is_what_was_published(mode: Any, first: Back, last: Back, engine: Any) -> None:
    x = normal(4, 5, seed=5)
    made = Explainer(_net(), engine=engine).explain(x, mode=mode, target=1)
    for row, got in zip(x, made.relevance["x"], strict=True):
        a = np.maximum(W1 @ row + B1, 0)
        start = np.zeros(3, np.float32)
        start[1] = (W2 @ a + B2)[1]
        wanted = first(W1, B1, row, last(W2, B2, a, start))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    total = made.ledger.total()
    np.testing.assert_allclose(
        total.start, total.inputs + total.constants + total.unassigned, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("gamma(-1)", "from 0 on"),
        ("gamma(1, 2)", "gamma takes (gamma)"),
        ("alphabeta(3, 1)", "alpha - beta is 1"),
        ("box(1, 0)", "the lower bound first"),
        ("lrp(x)", "stabiliser is one number"),
        ("lrp(inf)", "stabiliser is one number"),
        ("lrp(absolute=1)", "epsilon(absolute=1e-6) is one that is not"),
        ("epsilon(0.1, absolute=1)", "or absolute=, not both"),
        ("epsilon(absolute=-1)", "from 0 on"),
        ("epsilon(absolute=some)", "stabiliser is one number"),
        ("dense: epsilon(0.1, absolute=1)", "or absolute=, not both"),
        ("gradient(2)", "takes no parameter"),
        ("dense: nothing", "unknown rule 'nothing'"),
        ("dense: gama(1)", "did you mean 'gamma'?"),
        ("gamma(x)", "rule 'gamma(x)': gamma takes (gamma), a number"),
        ("box(a, b)", "rule 'box(a, b)': box takes (low, high), numbers"),
        ("box(1)", "box(1): takes two numbers, the lower bound first, as in box(0, 1), or none"),
        ("zplus(x)", "zplus takes no parameters"),
        ("cnn(3)", "mode 'cnn' takes no parameter; write mode='cnn'"),
        ("default(3)", "mode 'default' takes no parameter; write mode='default'"),
        ("lpr", "unknown mode 'lpr'; there are: alphabeta, attnlrp, auto, box"),
        ("lpr", "did you mean 'lrp'?"),
        ("Gamma(0.25)", "did you mean 'gamma'?"),
        ([("dense",)], "pairs (what, rule)"),
        ("foo(2)", "there are: alphabeta"),
    ],
)
def test_what_is_no_mode_is_said(mode: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        Explainer(_net()).explain(normal(1, 5, seed=5), mode=mode)
    assert said in str(caught.value)


def test_a_list_of_rules_stands_on_a_mode() -> None:
    """Named in front of the pairs; the same in one line and in a TOML file."""
    explainer, x = Explainer(_net()), normal(2, 5, seed=5)
    pairs = [("first", "flat"), ("last", "gamma(0.5)")]
    plain = explainer.explain(x, mode=pairs, target=1)
    listed = explainer.explain(x, mode=["attnlrp", *pairs], target=1)
    line = explainer.explain(x, mode="attnlrp, first: flat, last: gamma(0.5)", target=1)
    assert line.mode == listed.mode == "attnlrp, first: flat, last: gamma(0.5)"
    assert np.array_equal(line.relevance["x"], listed.relevance["x"])
    assert np.array_equal(plain.relevance["x"], listed.relevance["x"])  # no attention here
    damped = explainer.explain(x, mode=["lrp(0.5)", ("last", "gamma(0.5)")], target=1)
    alone = explainer.explain(x, mode=[("first", "epsilon(0.5)"), pairs[1]], target=1)
    np.testing.assert_allclose(damped.relevance["x"], alone.relevance["x"], rtol=1e-5)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_epsilon_is_lrp(engine: Any) -> None:
    """Two names of one method, with one stabiliser where none is named."""
    explainer, x = Explainer(_net(), engine=engine), normal(2, 5, seed=5)
    for one, other in (
        ("epsilon", "lrp"),
        ("epsilon(0.7)", "lrp(0.7)"),
        ("epsilon", "all: epsilon"),
    ):
        found = [explainer.explain(x, mode=mode, target=1) for mode in (one, other)]
        assert found[0].mode == one
        assert np.array_equal(found[0].relevance["x"], found[1].relevance["x"])


def test_rules_are_read_from_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        'base = "cp-lrp"\nrules = [["first", "box(-4, 4)"], ["Gemm", "epsilon(absolute=1e-3)"]]\n'
    )
    explainer, x = Explainer(_net()), normal(2, 5, seed=5)
    wanted = explainer.explain(
        x, mode="cp-lrp, first: box(-4, 4), Gemm: epsilon(absolute=1e-3)", target=1
    )
    for mode in (path, str(path)):
        made = explainer.explain(x, mode=mode, target=1)
        assert made.mode == wanted.mode
        assert np.array_equal(made.relevance["x"], wanted.relevance["x"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules = 3", "lacks rules"),
        ("", "lacks rules"),
        ("rules = []", "a composite lists rules"),
        ("rule = []", "unknown key 'rule', there are: base, rules; did you mean 'rules'?"),
        ('rules = [["dense"]]', "pairs (what, rule)"),
        ('rules = [["dense", 3]]', "pairs (what, rule)"),
        ('rules = [["dense", "gama(1)"]]', "unknown rule 'gama(1)'"),
        ('base = 3\nrules = [["dense", "zplus"]]', "base is a mode"),
        ('base = "gradient"\nrules = [["dense", "zplus"]]', "stand on attnlrp, cp-lrp, lrp"),
        ("rules = [", "is no TOML file"),
    ],
)
def test_what_is_wrong_in_a_toml_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        Explainer(_net()).explain(normal(1, 5), mode=path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_of_rules_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.toml: cannot be read"):
        Explainer(_net()).explain(normal(1, 5), mode=tmp_path / "none.toml")


_PIXELS = {
    "image": {
        "kind": "image",
        "height": 4,
        "width": 4,
        "color": "rgb",
        "scale": 1 / 255,
        "mean": [0.5, 0.4, 0.0],
        "std": [0.5, 0.25, -1.0],
    }
}
_LOW, _HIGH = np.array([-1, -1.6, -1.0]), np.array([1, 2.4, 0.0])


def _picture_net(moved: bool) -> Any:
    """image[N, 3, 4, 4] -> Conv; or behind a reshape [N, 48] -> Gemm."""
    w = normal(2, 3, 4, 4, seed=1)
    if moved:
        nodes = [node("Flatten", ["image"], ["v"]), node("Gemm", ["v", "w"], ["y"], transB=1)]
        weights = {"w": w.reshape(2, 48)}
    else:
        nodes = [node("Conv", ["image", "w"], ["c"]), node("Flatten", ["c"], ["y"])]
        weights = {"w": w}
    return model(nodes, {"image": (FLOAT, ["n", 3, 4, 4])}, {"y": (FLOAT, ["n", 2])}, weights)


@pytest.mark.parametrize("moved", [False, True])
def test_a_box_takes_its_bounds_from_the_sidecar(tmp_path: Path, moved: bool) -> None:
    sidecar = tmp_path / "pixels.json"
    sidecar.write_text(json.dumps({"inputs": _PIXELS}))
    low, high = (b.reshape(3, 1, 1) for b in (_LOW, _HIGH))
    x = (low + (high - low) * np.random.default_rng(3).random((2, 3, 4, 4))).astype(np.float32)
    net = _picture_net(moved)
    if moved:
        low, high = low.min(), high.max()
    w = normal(2, 3, 4, 4, seed=1)[1]
    terms = w * x - np.maximum(w, 0) * low - np.minimum(w, 0) * high
    y = (w * x).sum((1, 2, 3), keepdims=True)
    wanted = terms / terms.sum((1, 2, 3), keepdims=True) * y
    explainer = Explainer(net)
    made = explainer.explain(x, mode="first: box", target=1, sidecar=sidecar)
    np.testing.assert_allclose(made.relevance["image"], wanted, rtol=1e-4, atol=1e-6)
    explainer.compile(tmp_path / "b.onnx", mode="first: box", target=1, sidecar=sidecar)
    session = ort.InferenceSession(tmp_path / "b.onnx")
    again = session.run(["relevance/image"], {"image": x})[0]
    np.testing.assert_allclose(np.squeeze(again), made.relevance["image"], rtol=1e-4, atol=1e-6)


def test_a_box_without_bounds_needs_a_picture() -> None:
    explainer = Explainer(_net())
    with pytest.raises(RequestError, match=r"node 'h' reads, 'x'.*say them, as in box\(0, 1\)"):
        explainer.explain(normal(1, 5), mode="first: box")


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("swapped", [False, True])
def test_an_input_of_a_layer_weighed_anew_may_have_other_readers(
    engine: Any, swapped: bool
) -> None:
    """y = x W + x: one reader sends relevance, one a slope; both are relevance of x."""
    w = np.array([[1, 2], [3, -1]], np.float32)
    nodes = [node("MatMul", ["x", "w"], ["z"]), node("Neg", ["x"], ["m"])]
    nodes = [*nodes[:: -1 if swapped else 1], node("Sub", ["z", "m"], ["y"])]
    net = model(nodes, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, {"w": w})
    x = np.array([[3, -2]], np.float32)
    made = Explainer(net, engine=engine).explain(x, mode="first: flat", target=0)
    # z0 is 3 - 6 = -3, which x0 and x1 share alike; y0 has x0 besides.
    np.testing.assert_allclose(made.relevance["x"], [[-1.5 + 3, -1.5]], rtol=1e-6)
    total = made.ledger.total()
    np.testing.assert_allclose(total.start, 0, atol=1e-6)
    np.testing.assert_allclose(total.inputs, 0, atol=1e-6)


def _residual_net() -> Any:
    """Sums, maxima and a softmax beside layers with weights."""
    nodes = [
        node("Gemm", ["x", "W1", "B1"], ["h"], transB=1),
        node("Relu", ["h"], ["a"]),
        node("Gemm", ["a", "V"], ["b"], transB=1),
        node("Add", ["a", "b"], ["c"]),
        node("Max", ["c", "a"], ["d"]),
        node("Softmax", ["d"], ["e"], axis=-1),
        node("Gemm", ["e", "W2", "B2"], ["y"], transB=1),
    ]
    weights = {"W1": W1, "B1": B1, "W2": W2, "B2": B2, "V": normal(6, 6, seed=8)}
    return model(nodes, {"x": (FLOAT, ["n", 5])}, {"y": (FLOAT, ["n", 3])}, weights)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("rule", ["flat", "wsquare", "box(-3, 3)"])
@pytest.mark.parametrize("what", ["sum", "Add", "Max", "Softmax", "Relu"])
def test_rules_that_weigh_by_weights_leave_nodes_without_weights_alone(
    what: str, rule: str, engine: Any
) -> None:
    """They took a slope for relevance there, and books did not close."""
    explainer, x = Explainer(_residual_net(), engine=engine), normal(4, 5, seed=6)
    made = explainer.explain(x, mode=f"attnlrp, {what}: {rule}", target=1)
    check_closed(made)
    plain = explainer.explain(x, mode="attnlrp", target=1)
    np.testing.assert_allclose(made.relevance["x"], plain.relevance["x"], rtol=1e-5, atol=1e-7)
    assert any(f"the rule for {what!r} holds nowhere" in note.text for note in made.notes)


def test_a_rule_that_holds_nowhere_is_noted_with_what_may_be_meant() -> None:
    explainer, x = Explainer(_residual_net()), normal(2, 5, seed=6)
    made = explainer.explain(x, mode="frist: flat, dense: gamma, Gemm: zplus")
    told = [note.text for note in made.notes if "holds nowhere" in note.text]
    assert len(told) == 2
    assert "'frist'" in told[0] and "did you mean 'first'?" in told[0]
    assert "'Gemm'" in told[1] and "did you mean" not in told[1]
    for mode in ("cnn", "vit", "gamma", "first: flat, dense: gamma, sum: zplus"):
        assert not any("nowhere" in note.text for note in explainer.explain(x, mode=mode).notes)


@pytest.mark.parametrize("mode", [" lrp ", "lrp(0.5) ", " default", " smoothgrad(samples=2)"])
def test_blanks_around_a_mode_are_left_out(mode: str) -> None:
    explainer, x = Explainer(mlp()), normal(2, 4)
    made, want = (explainer.explain(x, mode=m) for m in (mode, mode.strip()))
    assert made.mode == want.mode == mode.strip()
    assert np.array_equal(made.relevance["x"], want.relevance["x"])


def test_shap_of_a_net_is_told_what_it_is_for() -> None:
    with pytest.raises(UnsupportedError, match="shap is for decision trees; choose") as caught:
        Explainer(mlp()).explain(normal(2, 4), mode="shap")
    assert "@backtrace_onnx.rule" not in str(caught.value)
