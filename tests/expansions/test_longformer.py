"""Attention within a window and of global tokens, against a loop over every query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import fixed
from tests.expansions.checks import check_defined, numbers

Array = npt.NDArray[Any]
HEADS, WINDOW, TOKENS = 2, 2, 8
X, MASK = numbers(2, TOKENS, 6), np.zeros((2, TOKENS), np.float32)
MASK[1, 6:] = -10000
FLAGS = np.zeros((2, TOKENS), np.int32)
FLAGS[0, 0] = FLAGS[1, [0, 3]] = 1


def attended(x: Array, own: Array, general: Array) -> Array:
    """One token after another; `own`, `general` [3 * features] are projections."""
    y = np.zeros((2, TOKENS, HEADS, 3), np.float32)
    for b, i, h in np.ndindex(2, TOKENS, HEADS):
        if MASK[b, i] < 0:
            continue
        q, k, v = (p.reshape(TOKENS, HEADS, 3)[:, h] for p in np.split(own[b], 3, -1))
        seen = [j for j in range(TOKENS) if abs(i - j) <= WINDOW or FLAGS[b, j]]
        if FLAGS[b, i]:
            q, k, v = (p.reshape(TOKENS, HEADS, 3)[:, h] for p in np.split(general[b], 3, -1))
            seen = list(range(TOKENS))
        weights = np.exp(k[seen] @ q[i] / np.sqrt(3) + MASK[b, seen])
        y[b, i, h] = weights @ v[seen] / weights.sum()
    return y.reshape(x.shape)


@pytest.mark.parametrize("constant", [False, True])
def test_longformer_attention(constant: bool, tmp_path: Path) -> None:
    w, general = numbers(6, 18) / 2, numbers(6, 18, seed=1) / 2
    b, c = numbers(18), numbers(18, seed=1)
    mask, flags = (fixed(MASK), fixed(FLAGS)) if constant else (MASK, FLAGS)
    made = check_defined(
        *("LongformerAttention", X, fixed(w), fixed(b), mask, fixed(general), fixed(c), flags),
        answers=attended(X, X @ w + b, X @ general + c),
        tolerance=5e-6,
        compiled=tmp_path,
        num_heads=HEADS,
        window=WINDOW,
    )
    assert not made.relevance["x0"][1, 6:].any()  # masked tokens carry nothing
