"""Intervals against the normal law, and ranks in which what overlaps is tied."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtrace_onnx.evaluation.intervals import Estimate, rank
from tests.graphs import normal


def test_an_interval_of_many_is_that_of_the_normal_law() -> None:
    values = normal(1000, seed=3, dtype=np.float64)
    found = Estimate.of(values.tolist())
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(1000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
    assert found == Estimate.of(values.tolist())


def test_what_is_no_number_is_left_out() -> None:
    found = Estimate.of([1.0, None, float("nan"), 3.0])
    assert (found.mean, found.count) == (2.0, 2)
    assert (found.low, found.high) == (1.0, 3.0)
    one, none = Estimate.of([5.0]), Estimate.of([])
    assert one.mean == 5 and math.isnan(one.low) and none.count == 0 and math.isnan(none.mean)
    same = Estimate.of([2.0] * 10)
    assert (same.low, same.high) == (2.0, 2.0)


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 10)


def test_what_overlaps_is_tied() -> None:
    best, near, far = estimate(4, 6), estimate(3, 5), estimate(1, 2)
    assert [str(r) for r in rank([far, best, near], "larger")] == ["3", "1=", "1="]
    assert [str(r) for r in rank([far, best, near], "smaller")] == ["1", "2=", "2="]
    # A chain: the first and the last are apart, and the middle is tied with both.
    assert [
        str(r) for r in rank([estimate(3, 4), estimate(2, 3.5), estimate(1, 2.5)], "larger")
    ] == [*("1=", "1=", "2=")]
    assert rank([None, best], "larger")[0] is None and str(rank([None, best], "larger")[1]) == "1"


def test_a_single_row_beats_nobody() -> None:
    assert [str(r) for r in rank([Estimate.of([1.0]), Estimate.of([9.0])], "larger")] == [
        "1=",
        "1=",
    ]
