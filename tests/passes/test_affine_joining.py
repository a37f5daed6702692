"""One operator is read as one, however it is written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.graphs import FLOAT, HALF, check_closed, model, node, normal
from tests.growth import check_linear

MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
W, B = normal(4, 3), normal(3, seed=1)
X = normal(5, 4, seed=2)
IMAGE = normal(2, 2, 6, 6, seed=3)
K = normal(3, 2, 3, 3, seed=4)
SCALE, SHIFT, MEAN = normal(3, seed=5), normal(3, seed=6), normal(3, seed=7)
VARIANCE = np.abs(normal(3, seed=8)) + 0.5


def _dense(nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> onnx.ModelProto:
    inputs, outputs = {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}
    return model([*nodes, node("Relu", ["s"], ["y"], "act")], inputs, outputs, weights)


GEMM = _dense([node("Gemm", ["x", "w", "b"], ["s"])], {"w": W, "b": B})
DENSE = {
    "MatMul + Add": ([node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["s"])], {}),
    "Add first": ([node("MatMul", ["x", "w"], ["h"]), node("Add", ["b", "h"], ["s"])], {}),
    "Gemm + Add": ([node("Gemm", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["s"])], {}),
    "alpha and beta": (
        [node("Gemm", ["x", "w2", "b2"], ["s"], alpha=0.5, beta=2.0)],
        {"w2": 2 * W, "b2": B / 2},
    ),
    "negative alpha": ([node("Gemm", ["x", "w2", "b"], ["s"], alpha=-1.0)], {"w2": -W}),
    "Sub": ([node("MatMul", ["x", "w"], ["h"]), node("Sub", ["h", "m"], ["s"])], {"m": -B}),
    "subtracted from": (
        [node("MatMul", ["x", "w2"], ["h"]), node("Sub", ["b", "h"], ["s"])],
        {"w2": -W},
    ),
    "Mul and Div": (
        [
            node("MatMul", ["x", "w2"], ["h"]),
            node("Mul", ["h", "k"], ["i"]),
            node("Div", ["i", "d"], ["j"]),
            node("Add", ["j", "b"], ["s"]),
        ],
        {"w2": W / SCALE * 3, "k": SCALE, "d": np.float32(3)},
    ),
    "two shifts": (
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Add", ["h", "one"], ["i"]),
            node("Add", ["i", "rest"], ["s"]),
        ],
        {"one": np.ones(1, np.float32), "rest": B - 1},
    ),
    "across a Reshape": (
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Reshape", ["h", "up"], ["i"]),
            node("Add", ["i", "b"], ["j"]),
            node("Reshape", ["j", "down"], ["s"]),
        ],
        {"up": np.array([-1, 1, 3]), "down": np.array([-1, 3])},
    ),
    "across an Identity and a Cast": (
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Identity", ["h"], ["i"]),
            node("Cast", ["i"], ["j"], to=FLOAT),
            node("Add", ["j", "b"], ["s"]),
        ],
        {},
    ),
    "across a Slice of the samples": (
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Slice", ["h", "from", "to", "axis"], ["i"]),
            node("Add", ["i", "b"], ["s"]),
        ],
        {"from": np.array([0]), "to": np.array([99]), "axis": np.array([-2])},
    ),
    "with a reader of the shape": (
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Shape", ["h"], ["size"]),
            node("Add", ["h", "b"], ["i"]),
            node("Reshape", ["i", "size"], ["s"]),
        ],
        {},
    ),
    "across a Transpose": (
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Transpose", ["h"], ["i"], perm=[1, 0]),
            node("Add", ["i", "column"], ["j"]),
            node("Transpose", ["j"], ["s"], perm=[1, 0]),
        ],
        {"column": B[:, None]},
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", DENSE)
def test_a_dense_layer_is_a_dense_layer(way: str, mode: str) -> None:
    nodes, weights = DENSE[way]
    used = {i for n in nodes for i in n.input}
    shared = {k: v for k, v in {"w": W, "b": B}.items() if k in used}
    found = Explainer(_dense(nodes, {**shared, **weights})).explain(X, mode=mode)
    wanted = Explainer(GEMM).explain(X, mode=mode)
    assert np.allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-5)
    check_closed(found)


def _conv(nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> onnx.ModelProto:
    return model(
        [*nodes, node("Relu", ["s"], ["y"], "act")],
        {"x": (FLOAT, ["N", 2, 6, 6])},
        {"y": (FLOAT, ["N", 3, 4, 4])},
        weights,
    )


FACTOR = SCALE / np.sqrt(VARIANCE + 1e-5)
FUSED = {"k": K * FACTOR[:, None, None, None], "b": (B - MEAN) * FACTOR + SHIFT}
STATISTICS = {"g": SCALE, "t": SHIFT, "m": MEAN, "v": VARIANCE}
CONV = {
    "BatchNormalization": (
        [
            node("Conv", ["x", "k", "b"], ["h"], "conv"),
            node("BatchNormalization", ["h", "g", "t", "m", "v"], ["s"], "norm"),
        ],
        {"k": K, "b": B, **STATISTICS},
    ),
    "separate bias": (
        [node("Conv", ["x", "k"], ["h"], "conv"), node("Add", ["h", "b"], ["s"], "norm")],
        {"k": FUSED["k"], "b": FUSED["b"][:, None, None]},
    ),
    "both": (
        [
            node("Conv", ["x", "k"], ["i"], "conv"),
            node("Add", ["i", "b"], ["h"], "bias"),
            node("BatchNormalization", ["h", "g", "t", "m", "v"], ["s"], "norm"),
        ],
        {"k": K, "b": B[:, None, None], **STATISTICS},
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", CONV)
def test_a_convolution_and_its_normalisation(way: str, mode: str) -> None:
    found = Explainer(_conv(*CONV[way])).explain(IMAGE, mode=mode)
    fused = _conv([node("Conv", ["x", "k", "b"], ["s"])], FUSED)
    wanted = Explainer(fused).explain(IMAGE, mode=mode)
    assert np.allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-3, atol=1e-5)
    check_closed(found)


@pytest.mark.parametrize("group", [1, 2])
def test_a_transposed_convolution_and_its_bias(group: int) -> None:
    kernel = normal(2, 4 // group, 3, 3)
    shift = normal(4, seed=1)
    ends = {"x": (FLOAT, ["N", 2, 6, 6])}, {"y": (FLOAT, ["N", 4, 8, 8])}
    apart = model(
        [
            node("ConvTranspose", ["x", "k"], ["h"], group=group),
            node("Mul", ["h", "f"], ["i"]),
            node("Add", ["i", "b"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ],
        *ends,
        {
            "k": kernel,
            "f": np.array([2, 3, -1, 5], np.float32)[:, None, None],
            "b": shift[:, None, None],
        },
    )
    factor = np.array([2, 3, -1, 5], np.float32).reshape(group, 1, -1, 1, 1)
    scaled = (kernel.reshape(group, 2 // group, 4 // group, 3, 3) * factor).reshape(kernel.shape)
    joined = model(
        [
            node("ConvTranspose", ["x", "k", "b"], ["s"], group=group),
            node("Relu", ["s"], ["y"]),
        ],
        *ends,
        {"k": scaled, "b": shift},
    )
    found, wanted = (Explainer(m).explain(IMAGE).relevance["x"] for m in (apart, joined))
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_joined_nodes_and_tensors_stay_addressable() -> None:
    explainer = Explainer(_conv(*CONV["both"]))
    rows = {row.node: row.rule for row in explainer.support()}
    assert list(rows) == ["conv", "bias", "norm", "act"]
    assert rows["norm"] == "read as one with conv"
    found = explainer.explain(IMAGE, keep=["i", "h", "s"])
    assert found.relevance["i"].shape == (2, 3, 4, 4)
    assert np.array_equal(found.relevance["i"], found.relevance["s"])
    assert explainer.explain(IMAGE, keep="i").relevance.keys() == {"x", "i"}
    everything = explainer.explain(IMAGE, keep="all").relevance
    assert {"x", "i", "h", "s", "y"} == everything.keys()


def test_an_inner_tensor_of_a_join_can_be_explained() -> None:
    explainer = Explainer(_conv(*CONV["both"]))
    found = explainer.explain(IMAGE, output="h", target=(1, 2, 3))
    assert found.output == "h"
    start = explainer.explain(IMAGE, output="h", task="regression", keep=["h"]).relevance["h"]
    assert np.allclose(found.ledger.total().start[0], start[:, 1, 2, 3])
    check_closed(found)


@pytest.mark.parametrize(
    "users",
    [
        [node("Add", ["h", "b"], ["s"]), node("Neg", ["h"], ["z"])],
        [node("Add", ["h", "x3"], ["s"])],
    ],
)
def test_what_is_not_one_operator_is_not_joined(users: list[onnx.NodeProto]) -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["h"]), *users, node("Relu", ["s"], ["y"])],
        {"x": (FLOAT, ["N", 4]), "x3": (FLOAT, ["N", 3])},
        {"y": (FLOAT, ["N", 3]), **({"z": (FLOAT, None)} if len(users) > 1 else {})},
        {"w": W, "b": B},
    )
    assert not Explainer(proto).graph.aliases


def test_what_leads_nowhere_is_no_use() -> None:
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Neg", ["h"], ["nothing"]),
            node("Add", ["h", "b"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": W, "b": B},
    )
    explainer = Explainer(proto)
    assert explainer.graph.aliases == {"h": "s"}
    found = explainer.explain(X, output="nothing")
    check_closed(found)
    assert list(found.ledger) == ["nothing", "h"]


def test_half_precision_joins_in_single() -> None:
    weights = {"w": W.astype(np.float16), "k": np.float16(3), "b": B.astype(np.float16)}
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Mul", ["h", "k"], ["i"]),
        node("Add", ["i", "b"], ["y"]),
    ]
    proto = model(nodes, {"x": (HALF, ["N", 4])}, {"y": (HALF, ["N", 3])}, weights)
    explainer = Explainer(proto)
    (made,) = explainer.graph.nodes
    assert explainer.graph.constants[made.inputs[1]].dtype == np.float32
    check_closed(explainer.explain(X))


def test_a_weight_vector_has_no_channels() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N"])},
        {"w": W[:, 0].copy(), "b": np.ones(1, np.float32)},
    )
    found = Explainer(proto).explain(X)
    assert np.allclose(found.outputs["y"], X @ W[:, 0] + 1, atol=1e-5)
    check_closed(found)


def test_joining_grows_as_a_chain_of_scales_does() -> None:
    def join(count: int) -> Callable[[], Explainer]:
        names = ["h", *(f"t{i}" for i in range(count)), "y"]
        nodes = [node("MatMul", ["x", "w"], ["h"])]
        nodes += [node("Add", [a, "b"], [b]) for a, b in pairwise(names)]
        kinds = {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}
        proto = model(nodes, *kinds, {"w": W, "b": B})
        return lambda: Explainer(proto)

    assert len(join(1000)().graph.aliases) == 1001
    check_linear(join, 500)


@pytest.mark.parametrize("axes", ["split", "one of them alone", "moved", "turned"])
def test_channels_split_into_heads(axes: str) -> None:
    """A bias behind a reshape that splits the channels is the linear operator's own."""
    w, b = normal(4, 6, seed=1), normal(2, 3, seed=2)
    weights: dict[str, Any] = {"w": w, "heads": np.array([0, 5, 2, 3]), "back": np.array([0, 5, 6])}
    shift, before, after = b, [], []
    if axes == "moved":
        shift = b[:, None]
        before = [node("Transpose", ["h"], ["t"], perm=[0, 2, 1, 3])]
        after = [node("Transpose", ["s"], ["u"], perm=[0, 2, 1, 3])]
    if axes == "one of them alone":
        shift = b[:1]
    if axes == "turned":
        shift = b.T[None, :, :]
        before = [node("Transpose", ["h"], ["t"], perm=[0, 1, 3, 2])]
        after = [node("Transpose", ["s"], ["u"], perm=[0, 1, 3, 2])]
    weights["b"] = shift
    moved = model(
        [
            node("MatMul", ["x", "w"], ["p"], "linear"),
            node("Reshape", ["p", "heads"], ["h"]),
            *before,
            node("Add", ["t" if before else "h", "b"], ["s"], "bias"),
            *after,
            node("Reshape", ["u" if after else "s", "back"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 5, 4])},
        {"y": (FLOAT, ["N", 5, 6])},
        weights,
    )
    flat = np.broadcast_to(b[:1] if axes == "one of them alone" else b, (2, 3)).reshape(-1)
    plain = model(
        [node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "b"], ["y"])],
        {"x": (FLOAT, ["N", 5, 4])},
        {"y": (FLOAT, ["N", 5, 6])},
        {"w": w, "b": flat},
    )
    x = normal(2, 5, 4, seed=3)
    for mode in ("default", "contrastive"):
        ours, theirs = (
            Explainer(m).explain(x, mode=mode, task="regression") for m in (moved, plain)
        )
        np.testing.assert_allclose(ours.outputs["y"], theirs.outputs["y"], rtol=1e-5, atol=1e-6)
        found, wanted = ours.relevance["x"], theirs.relevance["x"]
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
        assert "bias" not in ours.ledger
