"""Attention of com.microsoft: every form of mask, cache, bias and heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import UnsupportedError
from tests.cases import fixed, one
from tests.expansions.checks import Array, check, explained, numbers
from tests.graphs import FLOAT, model, node

X, WEIGHTS, BIAS = numbers(2, 5, 8), numbers(8, 24), numbers(24)


def ints(*values: Any) -> Array:
    return np.array(values, np.int32)


def chosen(*shape: int) -> Array:
    """A mask that leaves some keys of every query."""
    mask = (np.random.default_rng(len(shape)).random(shape) > 0.4).astype(np.int32)
    mask[..., 0] = 1
    return mask


MASKS = {
    "none": None,
    "by key": ints([1, 1, 1, 0, 0], [1, 1, 1, 1, 1]),
    "left": ints([0, 0, 1, 1, 1], [0, 1, 1, 1, 1]),
    "ends": ints(3, 5),
    "ends and starts": ints(5, 4, 2, 0),
    "by query": chosen(2, 5, 5),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "attributes", [{}, {"unidirectional": 1, "scale": 0.3}, {"mask_filter_value": -3.0}]
)
def test_attention(mask: str, attributes: dict[str, Any]) -> None:
    made = check(
        "Attention", X, fixed(WEIGHTS), fixed(BIAS), MASKS[mask], num_heads=2, **attributes
    )
    for name, relevance in made.relevance.items():
        assert name == "x0" or not relevance.any()


def test_attention_compiles(tmp_path: Path) -> None:
    check(
        *("Attention", X, fixed(WEIGHTS), fixed(BIAS), fixed(MASKS["by key"])),
        num_heads=2,
        compiled=tmp_path,
        tolerance=1e-5,
    )


def test_attention_with_sizes_of_its_own_weights_that_are_inputs_and_a_past() -> None:
    check(
        *("Attention", X, fixed(numbers(8, 20)), fixed(numbers(20)), None),
        num_heads=2,
        qkv_hidden_sizes=[8, 8, 4],
    )
    check("Attention", X, WEIGHTS, BIAS, None, num_heads=2)
    past = numbers(2, 2, 2, 3, 4)
    check(
        *("Attention", X, fixed(WEIGHTS), fixed(BIAS), None, past),
        outputs=2,
        num_heads=2,
        unidirectional=1,
    )
    check(
        *("Attention", X, fixed(WEIGHTS), fixed(BIAS), None, None, numbers(2, 2, 5, 5)), num_heads=2
    )


QUERY, KEY, VALUE = numbers(2, 5, 8), numbers(2, 6, 8), numbers(2, 6, 12)


@pytest.mark.parametrize("bias", [None, fixed(numbers(28))])
@pytest.mark.parametrize(
    "mask", [None, ints([1, 1, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1]), ints(3, 5), chosen(2, 5, 6)]
)
def test_multi_head_attention(mask: Array | None, bias: Any) -> None:
    check("MultiHeadAttention", QUERY, KEY, VALUE, bias, mask, num_heads=2, scale=0.4)


def test_multi_head_attention_with_a_cache_or_keys_by_heads() -> None:
    alike = numbers(2, 5, 8, seed=3)
    cache = numbers(2, 2, 3, 4), numbers(2, 2, 3, 4, seed=1)
    check("MultiHeadAttention", QUERY, alike, alike, num_heads=2, unidirectional=1)
    check("MultiHeadAttention", QUERY, KEY, VALUE, None, None, numbers(1, 1, 5, 6), num_heads=2)
    by_heads = numbers(2, 2, 6, 4)
    check("MultiHeadAttention", QUERY, by_heads, by_heads, None, ints(4, 6), num_heads=2)
    check(
        *("MultiHeadAttention", QUERY, alike, alike, None, None, None, *cache),
        num_heads=2,
        outputs=3,
        unidirectional=1,
    )


def test_attention_of_one_new_token() -> None:
    new, held = numbers(2, 1, 8), numbers(2, 2, 3, 4)
    check("DecoderMaskedMultiHeadAttention", new, held, held, num_heads=2)


def test_packed_queries_are_refused_with_the_reason() -> None:
    packed = model(
        [node("MultiHeadAttention", ["x"], ["y"], "mha", domain="com.microsoft", num_heads=2)],
        {"x": (FLOAT, ["N", 5, 2, 3, 4])},
        {"y": (FLOAT, ["N", 5, 8])},
        domains={"com.microsoft": 1},
    )
    with pytest.raises(UnsupportedError, match="packed queries"):
        Explainer(packed)


def plain(mask: Array) -> Any:
    """The same attention written out: three projections, MatMul, Softmax, MatMul."""
    weights = {
        f"{what}{part}": piece
        for what, whole in (("w", WEIGHTS), ("b", BIAS))
        for part, piece in zip("qkv", np.split(whole, 3, axis=-1), strict=True)
    }
    nodes = []
    for part in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{part}"], [f"{part}0"], f"{part}/product"),
            node("Add", [f"{part}0", f"b{part}"], [f"{part}1"], f"{part}/bias"),
            node("Reshape", [f"{part}1", "heads"], [f"{part}2"], f"{part}/heads"),
        ]
        perm = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        nodes.append(node("Transpose", [f"{part}2"], [f"{part}3"], f"{part}/turned", perm=perm))
    nodes += [
        node("MatMul", ["q3", "k3"], ["scores"], "scores"),
        node("Div", ["scores", "root"], ["scaled"], "scaled"),
        node("Cast", ["mask"], ["real"], "real", to=1),
        node("Sub", ["one", "real"], ["hidden"], "hidden"),
        node("Mul", ["hidden", "low"], ["added"], "added"),
        node("Unsqueeze", ["added", "axes"], ["laid"], "laid"),
        node("Add", ["scaled", "laid"], ["masked"], "masked"),
        node("Softmax", ["masked"], ["a"], "softmax", axis=-1),
        node("MatMul", ["a", "v3"], ["o"], "weighed"),
        node("Transpose", ["o"], ["t"], "back", perm=[0, 2, 1, 3]),
        node("Reshape", ["t", "flat"], ["y"], "merged"),
    ]
    numbers_of = {
        "root": np.float32(2),
        "one": np.float32(1),
        "low": np.float32(-10000),
        "axes": np.array([1, 2]),
        "heads": np.array([0, 0, 2, 4]),
        "flat": np.array([0, 0, 8]),
    }
    return model(
        nodes,
        {"x": (FLOAT, ["N", "S", 8]), "mask": (6, ["N", "S"])},
        {"y": (FLOAT, ["N", "S", 8])},
        {**weights, **numbers_of},
    )


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_written_out_it_is_explained_alike(mode: str) -> None:
    mask = MASKS["by key"]
    case = one(
        "Attention",
        X,
        fixed(WEIGHTS),
        fixed(BIAS),
        mask,
        num_heads=2,
        domain="com.microsoft",
    )
    fused = explained(case.proto, case.feeds, mode)
    written = explained(plain(mask), {"x": X, "mask": mask}, mode)
    np.testing.assert_allclose(fused.outputs["y"], written.outputs["y"], atol=1e-5)
    for ours, theirs in ((fused.positive, written.positive), (fused.negative, written.negative)):
        if "x0" in ours:
            np.testing.assert_allclose(ours["x0"], theirs["x"], atol=1e-4 * abs(theirs["x"]).max())
            assert not theirs["mask"].any()


def test_a_masked_token_carries_exactly_nothing() -> None:
    start = np.zeros((2, 5, 8), np.float32)
    start[:, 0] = 1  # of the first token, which sees all but the masked
    for proto in (
        plain(MASKS["by key"]),
        one(
            *("Attention", X, fixed(WEIGHTS), fixed(BIAS), fixed(MASKS["by key"])),
            num_heads=2,
            domain="com.microsoft",
        ).proto,
    ):
        names = [i.name for i in proto.graph.input]
        feeds = dict(zip(names, (X, MASKS["by key"]), strict=False))
        relevance = explained(proto, feeds, start=start).relevance[names[0]]
        assert not relevance[0, 3:].any()
        assert relevance[1, 3:].any()
