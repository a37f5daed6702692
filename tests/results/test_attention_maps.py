"""Relevance of attention is found in whatever form it is written, head by head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx import Explainer, Explanation, RequestError
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

N, T, H, SIZE = 2, 5, 2, 4
WIDTH = H * SIZE
W = {f"w{name}": normal(WIDTH, WIDTH, seed=i) / 4 for i, name in enumerate("qkvo")}
X = normal(N, T, WIDTH, seed=9)
KINDS = {"x": (FLOAT, ["n", "t", WIDTH])}, {"y": (FLOAT, ["n", 3])}
MS_NAME = "com.microsoft"
MS = {MS_NAME: 1}
SHAPES = {"split": np.array([0, 0, H, SIZE]), "back": np.array([0, 0, WIDTH])}
MODES = ("default", "gradient", "attnlrp", "lrp", "contrastive")


def _projected(of: str = "x") -> list[Any]:
    return [node("MatMul", [of, f"w{name}"], [name], f"project_{name}") for name in "qkv"]


def _ending() -> list[Any]:
    return [
        node("MatMul", ["context", "wo"], ["o"], "out"),
        node("ReduceMean", ["o", "one"], ["mean"], "pool", keepdims=0),
        node("Tanh", ["mean"], ["t"], "act"),
        node("MatMul", ["t", "head"], ["y"], "head"),
    ]


def _model(nodes: list[Any], *, opset: int = 18, **more: Any) -> Any:
    weights = {**W, **SHAPES, "head": normal(WIDTH, 3, seed=5), "one": np.array([1])}
    weights |= {"scale": np.float32(SIZE**0.5), **more}
    read = {name for part in nodes for name in part.input}
    weights = {name: w for name, w in weights.items() if name in read}
    return model([*nodes], *KINDS, weights, opset=opset, domains=MS)


def _primitives() -> Any:
    nodes = _projected()
    for name in "qkv":
        nodes += [
            node("Reshape", [name, "split"], [f"{name}2"]),
            node("Transpose", [f"{name}2"], [f"{name}3"], perm=[0, 2, 1, 3]),
        ]
    nodes += [
        node("Transpose", ["k3"], ["k4"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q3", "k4"], ["qk"]),
        node("Div", ["qk", "scale"], ["scaled"]),
        node("Softmax", ["scaled"], ["p"], axis=-1),
        node("MatMul", ["p", "v3"], ["mixed"]),
        node("Transpose", ["mixed"], ["mixed2"], perm=[0, 2, 1, 3]),
        node("Reshape", ["mixed2", "back"], ["context"]),
    ]
    return _model([*nodes, *_ending()])


def _samples_and_heads_in_one_axis() -> Any:
    """As torch's MultiheadAttention: [tokens, samples * heads, size]."""
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=[1, 0, 2]),
        node("Shape", ["x"], ["n"], start=0, end=1),
        node("Shape", ["x"], ["t_"], start=1, end=2),
        node("Mul", ["n", "two"], ["rows"]),
        node("Concat", ["t_", "rows", "size"], ["joint"], axis=0),
        node("Concat", ["t_", "n", "width"], ["apart"], axis=0),
        *_projected("x1"),
    ]
    for name in "qkv":
        nodes += [
            node("Reshape", [name, "joint"], [f"{name}2"]),
            node("Transpose", [f"{name}2"], [f"{name}3"], perm=[1, 0, 2]),
        ]
    nodes += [
        node("Transpose", ["k3"], ["k4"], perm=[0, 2, 1]),
        node("MatMul", ["q3", "k4"], ["qk"]),
        node("Div", ["qk", "scale"], ["scaled"]),
        node("Softmax", ["scaled"], ["p"], axis=-1),
        node("MatMul", ["p", "v3"], ["mixed"]),
        node("Transpose", ["mixed"], ["mixed2"], perm=[1, 0, 2]),
        node("Reshape", ["mixed2", "apart"], ["mixed3"]),
        node("Transpose", ["mixed3"], ["context"], perm=[1, 0, 2]),
    ]
    more = {"two": np.array([H]), "size": np.array([SIZE]), "width": np.array([WIDTH])}
    return _model([*nodes, *_ending()], **more)


def _multi_head() -> Any:
    fused = node(
        "MultiHeadAttention", ["q", "k", "v"], ["context"], "mha", domain=MS_NAME, num_heads=H
    )
    return _model([*_projected(), fused, *_ending()])


def _projecting() -> Any:
    fused = node(
        "Attention", ["x", "weights", "bias"], ["context"], "att", domain=MS_NAME, num_heads=H
    )
    packed = np.concatenate([W["wq"], W["wk"], W["wv"]], 1)
    zeros = np.zeros(3 * WIDTH, np.float32)
    return _model([fused, *_ending()], weights=packed, bias=zeros)


def _standard() -> Any:
    heads = {"q_num_heads": H, "kv_num_heads": H}
    fused = node("Attention", ["q", "k", "v"], ["context"], "att", **heads)
    return _model([*_projected(), fused, *_ending()], opset=23)


FORMS = {
    "one axis": _samples_and_heads_in_one_axis,
    "MultiHeadAttention": _multi_head,
    "Attention": _projecting,
    "Attention-23": _standard,
}


def _explained(proto: Any, mode: str, engine: Any = "numba", **asked: Any) -> Explanation:
    explainer = Explainer(proto, engine=engine)
    return explainer.explain(X, mode=mode, target=1, keep="attention", **asked)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_attention_of_the_primitives(form: str, mode: str) -> None:
    (want,), (found,) = (
        _explained(proto, mode).attention for proto in (_primitives(), FORMS[form]())
    )
    assert want.relevance.shape == found.relevance.shape == (N, H, T, T)
    near = {"rtol": 1e-3, "atol": 1e-5 * float(np.abs(want.relevance).max())}
    np.testing.assert_allclose(found.relevance, want.relevance, **near)


@pytest.mark.parametrize("form", ["primitives", *FORMS])
def test_slopes_are_what_a_changed_weight_does(form: str) -> None:
    """Central differences by running the model with the weights replaced."""
    explainer = Explainer({"primitives": _primitives, **FORMS}[form]())
    made = explainer.explain(X, mode="gradient", target=1, keep="attention")
    (found,) = made.attention
    own = bt.tensor_values(explainer, X, [found.tensor])[found.tensor]
    rng, step = np.random.default_rng(0), 1e-2
    for _ in range(3):
        way = rng.standard_normal(own.shape).astype(np.float32)
        ends = [bt.patch(explainer, X, {found.tensor: own + sign * step * way}) for sign in (1, -1)]
        moved = (ends[0]["y"] - ends[1]["y"])[:, 1].sum() / (2 * step)
        np.testing.assert_allclose((made.slopes[found.tensor] * way).sum(), moved, rtol=2e-2)


def test_relevance_is_slope_times_probability() -> None:
    explainer = Explainer(_primitives())
    made = explainer.explain(X, mode="attnlrp", keep="attention")
    weights = bt.tensor_values(explainer, X, ["p"])["p"]
    np.testing.assert_allclose(made.attention[0].relevance, made.slopes["p"] * weights, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def _groups(causal: bool = True) -> Any:
    """GroupQueryAttention of two heads that share keys and values, behind a lookup."""
    size = 8
    nodes = [
        node("Gather", ["table", "ids"], ["x"], "lookup"),
        node("MatMul", ["x", "wq"], ["q"], "project_q"),
        node("MatMul", ["x", "wk"], ["k"], "project_k"),
        node("MatMul", ["x", "wv"], ["v"], "project_v"),
        node(
            "GroupQueryAttention",
            ["q", "k", "v", "", "", "lengths", "longest"],
            ["context"],
            "gqa",
            domain=MS_NAME,
            num_heads=H,
            kv_num_heads=1,
        ),
        node("MatMul", ["context", "out"], ["y"], "head"),
    ]
    weights = {
        "table": normal(20, 2 * size, seed=1),
        "wq": normal(2 * size, H * size, seed=2) / 4,
        "wk": normal(2 * size, size, seed=3) / 4,
        "wv": normal(2 * size, size, seed=4) / 4,
        "out": normal(H * size, 20, seed=5),
        "lengths": np.array([T - 1], np.int32),
        "longest": np.array(T, np.int32),
    }
    kinds = {"ids": (INT64, [1, T])}, {"y": (FLOAT, [1, T, 20])}
    return model(nodes, *kinds, weights, domains=MS)


def test_a_causal_model_looks_back_only() -> None:
    ids = np.array([[3, 1, 4, 1, 5]])
    made = Explainer(_groups()).explain(ids, mode="attnlrp", keep="attention", task="generation")
    (found,) = made.attention
    assert found.relevance.shape == (1, H, T, T)
    assert not np.triu(found.relevance[0], 1).any()
    assert not found.relevance[0, :, :-1].any()  # the last token is explained, of one layer
    assert found.relevance[0, :, -1].any()


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_both_engines_and_files_keep_them(engine: Any, tmp_path: Path) -> None:
    made = _explained(_multi_head(), "attnlrp", engine)
    made.save(tmp_path / "made.npz")
    again = Explanation.load(tmp_path / "made.npz")
    np.testing.assert_array_equal(again.attention[0].relevance, made.attention[0].relevance)
    want = _explained(_primitives(), "attnlrp").attention.total("mean")
    np.testing.assert_allclose(again.attention.total("mean"), want, rtol=1e-3, atol=1e-6)


def test_sums_over_layers_and_heads() -> None:
    maps = _explained(_primitives(), "attnlrp").attention
    np.testing.assert_allclose(maps.total(), maps[0].relevance.sum(1), rtol=1e-6)
    np.testing.assert_allclose(maps[:1].total("mean"), maps[0].mean, rtol=1e-6)
    with pytest.raises(RequestError, match="sum or mean, not 'max'"):
        maps.total("max")  # type: ignore[arg-type]


def test_models_without_attention_say_so() -> None:
    with pytest.raises(RequestError, match="keep='attention': no softmax over products"):
        Explainer(mlp()).explain(normal(2, 4), keep="attention")
    with pytest.raises(RequestError, match="explain with keep='attention'"):
        _ = Explainer(mlp()).explain(normal(2, 4)).attention
