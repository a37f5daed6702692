"""Distances of distributions and rankings, against SciPy and scikit-learn where these are there."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from backtrace_onnx.audit.histograms import (
    OTHER,
    Histogram,
    histogram,
    jensen_shannon,
    ndcg,
    noise,
)


def test_the_distance_is_scipys() -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(0, 50, (2, 8))
        first, second = (Histogram(values=tuple("abcdefgh"), counts=tuple(x)) for x in (a, b))
        ours = jensen_shannon(first, second)
        assert ours == pytest.approx(float(distance.jensenshannon(a, b)), abs=1e-9)


def test_ndcg_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    was, now = rng.random((2, 7))
    assert ndcg(was, now) == pytest.approx(metrics.ndcg_score(was[None], now[None]))
    assert ndcg(was, was) == pytest.approx(1)
    assert np.isnan(ndcg([0, 0], [1, 2]))


def test_bins_hold_as_many_each_and_atoms_lie_inside() -> None:
    rng = np.random.default_rng(0)
    made = histogram(rng.normal(size=1000))
    assert len(made.counts) == 10 and set(made.counts) == {100}
    atoms = np.repeat([0.0, 1.0, 2.0], [900, 60, 40])
    made = histogram(atoms)
    assert sum(made.counts) == 1000 and made.counts[0] == 900
    shaken = made.again(atoms + rng.choice([-1e-9, 1e-9], 1000))
    assert shaken == made


def test_one_value_missing_ones_and_texts() -> None:
    constant = histogram(np.zeros(5))
    assert constant.counts == (0, 5, 0) == constant.again(np.full(5, 1e-9)).counts
    assert constant.again(np.array([0.1, -0.1, 0, 0, 3])).counts == (1, 2, 2)
    assert jensen_shannon(constant, constant.again(np.ones(5))) == pytest.approx(np.log(2) ** 0.5)
    assert histogram(np.array([1.0, np.nan, np.nan, np.nan])).rows == 4
    made = histogram(np.array(["x", "y", "x"], object))
    assert (made.values, made.counts) == (("x", "y", OTHER), (2, 1, 0))
    assert made.again(np.array(["z", "x"], object)).counts == (1, 0, 1)


def test_noise_is_what_chance_makes() -> None:
    rng = np.random.default_rng(0)
    first = histogram(rng.normal(size=1000))
    found = [jensen_shannon(first, first.again(rng.normal(size=500))) for _ in range(100)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(
        noise(first, first.again(rng.normal(size=500))), rel=0.15
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"edges": [0, 1], "counts": [1, -500, 3]}',
        '{"edges": [1, 0], "counts": [1, 2, 3]}',
        '{"edges": [0, 1], "counts": [1, 2]}',
        '{"edges": [0], "counts": [0, 0]}',
        '{"counts": [1]}',
        '{"values": ["a", "a"], "counts": [1, 1]}',
        '{"edges": [0, NaN], "counts": [1, 1, 1]}',
        '{"edges": [0, Infinity], "counts": [1, 1, 1]}',
        '{"edges": [0], "values": ["a"], "counts": [1]}',
    ],
)
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Histogram.model_validate_json(text)
