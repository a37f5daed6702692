"""Ranks and ties, where the order is known."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.summary.ranks import find_ranks
from backtrace_onnx.summary.resampling import BLOCK, ResampledMeans, Resamples


def replicates(columns: np.ndarray, count: int = 500) -> np.ndarray:
    means, resamples = ResampledMeans(count, columns.shape[1]), Resamples(count, 0)
    for block, start in enumerate(range(0, len(columns), BLOCK)):
        own = columns[start : start + BLOCK]
        means.add(resamples.weights(block, len(own)), own)
    return means.replicates


def test_an_order_that_the_rows_settle_is_told_and_others_are_ties() -> None:
    rng = np.random.default_rng(0)
    far, near, same = (rng.normal(mean, 1, 3000) for mean in (3.0, 1.0, 1.01))
    ranks = find_ranks(replicates(np.stack([far, near, same], 1)), 3, 0.95)
    assert [(rank.best, rank.worst) for rank in ranks] == [(1, 1), (2, 3), (2, 3)]
    assert [rank.tied for rank in ranks] == [(), (2,), (1,)]


def test_a_pair_is_compared_row_by_row_and_not_by_intervals_that_overlap() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(1, 5, 2000)
    ranks = find_ranks(replicates(np.stack([base + 0.1, base], 1)), 2, 0.95)
    assert [rank.tied for rank in ranks] == [(), ()]


def test_what_is_equal_in_every_row_is_tied() -> None:
    column = np.random.default_rng(0).random(100)
    ranks = find_ranks(replicates(np.stack([column, column, 0 * column, 0 * column], 1)), 4, 0.95)
    assert [(rank.best, rank.worst) for rank in ranks] == [(1, 2), (1, 2), (3, 4), (3, 4)]


def test_false_orders_are_as_rare_as_the_confidence_says() -> None:
    rng = np.random.default_rng(0)
    settled = 0
    for trial in range(200):
        columns = rng.normal(0, 1, (200, 2))
        means = ResampledMeans(400, 2)
        means.add(Resamples(400, trial).weights(0, 200), columns)
        settled += not find_ranks(means.replicates, 2, 0.95)[0].tied
    assert settled <= 20  # of 200, 10 are expected


def test_weights_are_those_of_a_poisson_distribution() -> None:
    weights = Resamples(2000, 0).weights(3, 700)
    assert (weights[0] == 1).all() and weights.shape == (2001, 700)
    drawn = weights[1:]
    for k, share in ((0, 0.3679), (1, 0.3679), (2, 0.1839), (3, 0.0613)):
        assert abs((drawn == k).mean() - share) < 2e-3
    whole = Resamples(2000, 0).weights(3, BLOCK)
    np.testing.assert_array_equal(whole[:, :700], weights)
