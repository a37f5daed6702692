"""Attention of ai.onnx: inputs by heads or by features, masks, caches, every output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cases import fixed, one
from tests.expansions.checks import check, explained, numbers
from tests.graphs import FLOAT, model, node

Q, K, V = numbers(2, 2, 4, 8), numbers(2, 2, 6, 8), numbers(2, 2, 6, 8, seed=1)
KEEP = np.random.default_rng(0).random((4, 6)) > 0.4
KEEP[:, 0] = True
PAST = numbers(2, 2, 3, 8), numbers(2, 2, 3, 8, seed=1)
STANDARD: dict[str, Any] = {"domain": "", "opset": 23}


def with_infinity() -> Any:
    mask = numbers(4, 6)
    mask[0, 3:] = mask[1] = -np.inf  # the second query sees no key
    return mask


@pytest.mark.parametrize("attributes", [{}, {"is_causal": 1}, {"softcap": 2.0, "scale": 0.3}])
@pytest.mark.parametrize(
    "mask",
    [
        None,
        KEEP,
        fixed(KEEP),
        fixed(np.stack([KEEP, KEEP[::-1]])[:, None]),
        numbers(2, 1, 4, 6),
        fixed(with_infinity()),
        fixed(np.vstack([KEEP[:3], np.zeros((1, 6), bool)])),
    ],
)
def test_masks(mask: Any, attributes: dict[str, Any]) -> None:
    check("Attention", Q, K, V, mask, **STANDARD, **attributes)


def test_grouped_queries_by_heads_and_by_features(tmp_path: Path) -> None:
    check("Attention", numbers(2, 4, 4, 8), K, V, compiled=tmp_path, **STANDARD)
    by_features = numbers(2, 4, 32), numbers(2, 6, 16), numbers(2, 6, 16, seed=1)
    check("Attention", *by_features, q_num_heads=4, kv_num_heads=2, is_causal=1, **STANDARD)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", [None, numbers(4, 9)])
def test_caches(causal: int, mask: Any) -> None:
    check("Attention", Q, K, V, mask, *PAST, outputs=3, is_causal=causal, **STANDARD)


@pytest.mark.parametrize("mode", range(4))
def test_shown_scores(mode: int) -> None:
    check(
        *("Attention", Q, K, V, numbers(4, 6)),
        outputs=4,
        qk_matmul_output_mode=mode,
        softcap=1.5,
        **STANDARD,
    )


@pytest.mark.parametrize("causal", [0, 1])
def test_keys_beyond_the_filled_ones_carry_nothing(causal: int) -> None:
    filled = np.array([4, 6])
    given = {**STANDARD, "opset": 24}
    made = check("Attention", Q, K, V, None, None, None, filled, is_causal=causal, **given)
    for name in ("x1", "x2"):
        assert not made.relevance[name][0, :, 4:].any()
        assert made.relevance[name][1, :, 4:].any()
    check("Attention", Q, K, V, KEEP, None, None, filled, **given)


@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_written_out_it_is_explained_alike(mode: str) -> None:
    """The same with a Where mask and the clean-up of NaN that exporters add."""
    nodes = [
        node("Transpose", ["k"], ["kt"], "turned", perm=[0, 1, 3, 2]),
        node("Mul", ["q", "root"], ["qs"], "q scaled"),
        node("Mul", ["kt", "root"], ["ks"], "k scaled"),
        node("MatMul", ["qs", "ks"], ["scores"], "scores"),
        node("Where", ["keep", "scores", "low"], ["masked"], "masked"),
        node("Softmax", ["masked"], ["a0"], "softmax", axis=-1),
        node("IsNaN", ["a0"], ["bad"], "bad"),
        node("Where", ["bad", "zero", "a0"], ["a"], "clean"),
        node("MatMul", ["a", "v"], ["y"], "weighed"),
    ]
    written = model(
        nodes,
        {name: (FLOAT, list(x.shape)) for name, x in (("q", Q), ("k", K), ("v", V))},
        {"y": (FLOAT, [2, 2, 4, 8])},
        {
            "root": np.float32(8**-0.25),
            "low": np.float32(-np.inf),
            "zero": np.float32(0),
            "keep": KEEP,
        },
    )
    native = one("Attention", Q, K, V, fixed(KEEP), **STANDARD)
    ours = explained(native.proto, native.feeds, mode)
    theirs = explained(written, {"q": Q, "k": K, "v": V}, mode)
    for a, b in (("x0", "q"), ("x1", "k"), ("x2", "v")):
        want = theirs.positive[b]
        np.testing.assert_allclose(ours.positive[a], want, atol=1e-5 * np.abs(want).max())
