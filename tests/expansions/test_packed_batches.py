"""Batches without padding: every sample is what it is alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import fixed
from tests.expansions.checks import assert_alike, check_defined, explained, numbers
from tests.expansions.test_biases import softmax
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]
LENGTHS = (3, 1, 4)
HEADS = 2
KEPT = np.arange(5) < np.array(LENGTHS)[:, None]
ORDER = np.concatenate([np.flatnonzero(KEPT), np.flatnonzero(~KEPT)]).reshape(3, 5)
ENDS = np.array([0, 3, 4, 8])
OFFSETS, CUMULATED = fixed(ORDER, np.int32), fixed(ENDS, np.int32)


def attended(q: Array, k: Array, v: Array, scale: float, added: Array | None = None) -> Array:
    """Attention of packed tokens, sample by sample."""
    made = []
    for n, (first, end) in enumerate(pairwise(ENDS)):
        a, b, c = (
            x[first:end].reshape(end - first, HEADS, -1).transpose(1, 0, 2) for x in (q, k, v)
        )
        scores = a @ b.transpose(0, 2, 1) * scale
        if added is not None:
            scores = scores + added[n % len(added), :, : end - first, : end - first]
        made.append((softmax(scores, (2,)) @ c).transpose(1, 0, 2).reshape(end - first, -1))
    return np.asarray(np.concatenate(made), np.float32)


def test_padding_is_removed_and_restored(tmp_path: Path) -> None:
    x = numbers(3, 5, 4)
    check_defined(
        *("RemovePadding", x, fixed(LENGTHS, np.int32)),
        answers=[x[KEPT], ORDER.astype(np.int32), ENDS.astype(np.int32), np.array([4], np.int32)],
        compiled=tmp_path,
    )
    full = np.where(KEPT[..., None], x, 0).astype(np.float32)
    check_defined("RestorePadding", x[KEPT], OFFSETS, answers=full, compiled=tmp_path)


@pytest.mark.parametrize("added", [None, (1, 1, 5, 5), (3, HEADS, 5, 5)])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_packed_attention(added: Any, scale: float | None, tmp_path: Path) -> None:
    x, weights, bias = numbers(8, 6), numbers(6, 14), numbers(14)
    extra = None if added is None else numbers(*added, seed=3)
    q, k, v = np.split(x @ weights + bias, [4, 8], -1)
    check_defined(
        *("PackedAttention", x, fixed(weights), fixed(bias), OFFSETS, CUMULATED, extra),
        answers=attended(q, k, v, scale or 1 / np.sqrt(2), extra),
        compiled=tmp_path,
        num_heads=HEADS,
        qkv_hidden_sizes=[4, 4, 6],
        **({} if scale is None else {"scale": scale}),
    )


@pytest.mark.parametrize("bias", [None, numbers(14)])
@pytest.mark.parametrize("packed", [False, True])
def test_packed_multi_head_attention(bias: Any, packed: bool, tmp_path: Path) -> None:
    q, k, v = (numbers(8, 4 if packed or s < 2 else 6, seed=s) for s in range(3))
    given = [q, k, v]
    if packed:
        stacked = np.stack([x.reshape(8, HEADS, 2) for x in given], 2)
        given, bias = [stacked, None, None], None if bias is None else bias[:12]
    if bias is not None:
        q, k, v = (x + b for x, b in zip((q, k, v), np.split(bias, [4, 8]), strict=True))
    check_defined(
        *("PackedMultiHeadAttention", *given, None if bias is None else fixed(bias)),
        *(OFFSETS, CUMULATED),
        answers=attended(q, k, v, 1 / np.sqrt(2)),
        compiled=tmp_path,
        num_heads=HEADS,
    )


def test_a_packed_model_is_explained_as_the_padded_one() -> None:
    names = {"domain": "com.microsoft", "num_heads": HEADS}
    weights = {"w": numbers(6, 12), "b": numbers(12), "n": np.array(LENGTHS, np.int32)}
    packed = [
        node("RemovePadding", ["x", "n"], ["t", "o", "c"], domain="com.microsoft"),
        node("PackedAttention", ["t", "w", "b", "o", "c"], ["a"], **names),
        node("RestorePadding", ["a", "o"], ["y"], domain="com.microsoft"),
    ]
    padded = [node("Attention", ["x", "w", "b", "n"], ["y"], **names)]
    x, start = numbers(3, 5, 6), np.where(KEPT[..., None], numbers(3, 5, 4), 0).astype(np.float32)
    ours, theirs = (
        explained(
            model(
                nodes,
                {"x": (FLOAT, [3, 5, 6])},
                {"y": (FLOAT, [3, 5, 4])},
                weights,
                domains={"com.microsoft": 1},
            ),
            {"x": x},
            start=start,
        )
        for nodes in (packed, padded)
    )
    assert_alike(ours, theirs)
    assert not ours.relevance["x"][~KEPT].any()
