"""Normalisations fused with sums and embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, UnsupportedError
from tests.cases import fixed
from tests.expansions.checks import assert_alike, check, explained, numbers
from tests.graphs import FLOAT, model, node

X, SKIP = numbers(2, 5, 8), numbers(2, 5, 8, seed=1)
GAMMA, BETA, BIAS = (fixed(numbers(8, seed=k)) for k in (2, 3, 4))


@pytest.mark.parametrize("beta", [None, BETA])
@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("skip", [SKIP, numbers(5, 8), numbers(1, 5, 8)])
def test_skip_layer_normalization(skip: Any, beta: Any, bias: Any) -> None:
    check("SkipLayerNormalization", X, skip, GAMMA, beta, bias, epsilon=1e-3)


@pytest.mark.parametrize("bias", [None, BIAS])
def test_skip_simplified_layer_normalization(bias: Any, tmp_path: Path) -> None:
    check("SkipSimplifiedLayerNormalization", X, SKIP, GAMMA, bias, compiled=tmp_path)


@pytest.mark.parametrize("opset", [14, 18])
def test_simplified_layer_normalization_passes(opset: int) -> None:
    made = check("SimplifiedLayerNormalization", X, GAMMA, domain="", opset=opset, epsilon=1e-4)
    assert made.ledger.total().constants == pytest.approx(0)


def test_half_precision_is_normalised_in_float32() -> None:
    large = (300 * X).astype(np.float16)  # squares overflow
    gamma = fixed(np.ones(8, np.float16))
    check("SimplifiedLayerNormalization", large, gamma, domain="", tolerance=2e-3)


def test_sum_before_the_normalisation_is_an_output() -> None:
    names = ["y", "", "", "sum"]
    proto = model(
        [node("SkipLayerNormalization", ["x", "s", "g"], names, "n", domain="com.microsoft")],
        {"x": (FLOAT, [2, 5, 8]), "s": (FLOAT, [2, 5, 8])},
        {"y": (FLOAT, [2, 5, 8]), "sum": (FLOAT, [2, 5, 8])},
        {"g": numbers(8)},
        domains={"com.microsoft": 1},
    )
    made = explained(proto, {"x": X, "s": SKIP}, output="sum")
    np.testing.assert_allclose(made.outputs["sum"], X + SKIP, rtol=1e-6)


def test_a_mean_that_is_read_has_no_expansion() -> None:
    outputs = ["z", "mean", "deviation", "sum"]
    proto = model(
        [
            node("SkipLayerNormalization", ["x", "s", "g"], outputs, "n", domain="com.microsoft"),
            node("Add", ["z", "mean"], ["y"], "add"),
        ],
        {"x": (FLOAT, [2, 5, 8]), "s": (FLOAT, [2, 5, 8])},
        {"y": (FLOAT, [2, 5, 8])},
        {"g": numbers(8)},
        domains={"com.microsoft": 1},
    )
    with pytest.raises(UnsupportedError, match=r"node n.*its output 'mean', which is read, has no"):
        Explainer(proto)


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("first", [True, False])
def test_a_fused_bias_belongs_to_its_product(mode: str, first: bool) -> None:
    weights = {"w": numbers(8, 8), "b": numbers(8), "g": numbers(8, seed=1)}
    product = node("MatMul", ["x", "w"], ["p"], "product")
    operands = ["p", "s"] if first else ["s", "p"]
    fused = [
        product,
        node(
            *("SkipLayerNormalization", [*operands, "g", "", "b"], ["y"], "norm"),
            domain="com.microsoft",
        ),
    ]
    plain = [
        product,
        node("Add", ["p", "b"], ["q"], "bias"),
        node("Add", ["q", "s"], ["t"], "skip"),
        node("LayerNormalization", ["t", "g"], ["y"], "norm", epsilon=1e-12),
    ]
    inputs = {"x": (FLOAT, ["N", 5, 8]), "s": (FLOAT, ["N", 5, 8])}
    outputs = {"y": (FLOAT, ["N", 5, 8])}
    feeds = {"x": X, "s": SKIP}
    ours, theirs = (
        explained(model(nodes, inputs, outputs, weights, domains={"com.microsoft": 1}), feeds, mode)
        for nodes in (fused, plain)
    )
    assert_alike(ours, theirs)


IDS = np.array([[1, 2, 3, 0], [4, 5, 1, 2]], np.int32)
SEGMENTS = np.array([[0, 0, 1, 1], [0, 1, 1, 1]], np.int32)
MASK = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32)


def test_embed_layer_normalization() -> None:
    words, positions, segments = (fixed(numbers(n, 8)) for n in (7, 10, 2))
    made = check(
        "EmbedLayerNormalization",
        *(IDS, SEGMENTS, words, positions, segments, GAMMA, BETA, MASK),
        outputs=2,
    )
    assert made.relevance["x0"].any() and made.relevance["x1"].any()
    assert not made.relevance["x2"].any()
    places = np.array([[3, 2, 1, 0]], np.int32)
    check(
        "EmbedLayerNormalization",
        *(IDS, None, words, positions, None, GAMMA, BETA, None, places),
        outputs=3,
    )


def test_quantised_embed_layer_normalization() -> None:
    tables = [
        fixed(np.random.default_rng(n).integers(0, 256, shape), np.uint8)
        for n, shape in enumerate([(7, 8), (10, 8), (2, 8), (8,), (8,)])
    ]
    scales = [fixed(0.01 + 0.001 * k, np.float32) for k in range(5)]
    zeros = [fixed(120 + k, np.uint8) for k in range(5)]
    check(
        "QEmbedLayerNormalization",
        *(IDS, SEGMENTS, *tables, MASK, *scales, *zeros),
        outputs=2,
    )


def test_norms_of_branches_and_gated_norms() -> None:
    check("GatedRMSNorm", X, fixed(numbers(4)), SKIP, epsilon=1e-3)
    check("GatedRMSNorm", X, GAMMA, SKIP, activation="sigmoid")
    check("BranchwiseRMSNorm", numbers(2, 5, 2, 4), fixed(numbers(2, 4)))
    check("BranchwiseRMSNorm", X, GAMMA, num_branches=2, epsilon=0.1)
    check("BranchwiseRMSNorm", X, num_branches=2)
