"""Relative positions, against T5's own buckets and the written definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import fixed
from tests.expansions.checks import check_defined, numbers

Array = npt.NDArray[Any]


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20)])
def test_relative_position_bias(both_ways: bool, buckets: int, furthest: int) -> None:
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5", reason="the oracle is T5's")
    torch = pytest.importorskip("torch", reason="the oracle is T5's")
    table, length = numbers(buckets, 3), 40
    at = torch.arange(length)
    bucket = t5.T5Attention._relative_position_bucket(
        at[None] - at[:, None], bidirectional=both_ways, num_buckets=buckets, max_distance=furthest
    ).numpy()
    laid = np.ascontiguousarray(table.T).reshape(table.shape)  # as the optimiser stores it
    size = fixed([length], np.int64)
    check_defined(
        *("RelativePositionBias", laid, size, size),
        answers=np.moveaxis(table[bucket], -1, 0)[None].copy(),
        max_distance=furthest,
        is_bidirectional=int(both_ways),
    )


def gated(query: Array, bias: Array, biases: Array, weight: Array, added: Array, a: Array) -> Array:
    """The published definition, for three heads."""
    samples, tokens, features = query.shape
    q = (query + bias).reshape(samples, tokens, 3, features // 3).transpose(0, 2, 1, 3)
    sums = (q @ weight + added).reshape(samples, 3, tokens, 2, -1).sum(-1)
    u, r = np.split(1 / (1 + np.exp(-sums)), 2, -1)
    return np.asarray((u * (r * a - 1) + 2) * biases, np.float32)


@pytest.mark.parametrize("lengths", [None, (2, 5)])
def test_gated_relative_position_bias(lengths: Any, tmp_path: Path) -> None:
    query, bias, biases = numbers(2, 5, 12), numbers(12), numbers(1, 3, 5, 5)
    weight, added, a = numbers(4, 8), numbers(8), numbers(1, 3, 1, 1)
    given = [query]
    if lengths is not None:
        kept = np.arange(5) < np.array(lengths)[:, None]
        query = np.where(kept[..., None], query, -bias).astype(np.float32)
        flat = kept.ravel()
        order = np.concatenate([np.flatnonzero(flat), np.flatnonzero(~flat)])
        given = [query[kept], fixed(order.reshape(2, 5), np.int32)]
    check_defined(
        *("GatedRelativePositionBias", given[0], fixed(bias), fixed(biases)),
        *(fixed(weight), fixed(added), fixed(a), *given[1:]),
        answers=gated(query, bias, biases, weight, added, a),
        compiled=tmp_path,
        num_heads=3,
    )
