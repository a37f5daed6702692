"""Embeddings of tokens and of the letters of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.cases import fixed
from tests.expansions.checks import check, check_defined, numbers

WORDS = np.array([[3, 1, 4, 0, 0], [2, 0, 0, 0, 0], [1, 2, 3, 4, 1]], np.int32)


def test_torch_embedding(tmp_path: Path) -> None:
    ids, table = np.array([[1, 2, 0], [3, 3, 1]]), numbers(5, 4)
    made = check_defined(
        *("TorchEmbedding", fixed(table), ids, fixed(0), fixed(False)),
        answers=table[ids],
        compiled=tmp_path,
    )
    assert made.relevance["x1"].shape == ids.shape and made.relevance["x1"].any()


def test_words_are_read_letter_by_letter(tmp_path: Path) -> None:
    kernel, bias, table = numbers(6, 1, 2, 3), numbers(6), numbers(5, 3)
    made = check(
        *("WordConvEmbedding", WORDS, fixed(kernel), fixed(bias), fixed(table)),
        compiled=tmp_path,
        conv_window_size=2,
    )
    assert not made.relevance["x0"][0, 3:].any() and not made.relevance["x0"][1, 2:].any()
