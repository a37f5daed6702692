"""Metrics against what they must be where the model is linear, and right relevance is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import RequestError, metrics
from tests.graphs import normal

Array = npt.NDArray[Any]
W = normal(6, 3, seed=1, dtype=np.float64)
X = normal(4, 6, seed=2, dtype=np.float64)
TARGET = np.array([0, 2, 1, 1])


def linear(x: Array) -> Array:
    return x @ W


def right() -> Array:
    """What every entry adds to the target's score."""
    return X * W[:, TARGET].T


@pytest.mark.parametrize(
    "metric", [metrics.faithfulness_correlation, metrics.faithfulness_estimate]
)
def test_right_relevance_of_a_linear_model_is_faithful(metric: Any) -> None:
    np.testing.assert_allclose(metric(linear, X, right(), TARGET), 1, rtol=1e-12)
    np.testing.assert_allclose(metric(linear, X, -right(), TARGET), -1, rtol=1e-12)
    assert (metric(linear, X, np.ones_like(X), TARGET) == 0).all()  # it does not vary
    noise = normal(4, 6, seed=9)
    assert (np.abs(metric(linear, X, noise, TARGET)) < 1).all()


def test_a_faithfulness_estimate_is_pearsons_correlation() -> None:
    r = normal(4, 6, seed=9)
    lost = right()  # an entry alone set to 0 takes off what it added
    wanted = [np.corrcoef(a, b)[0, 1] for a, b in zip(r, lost, strict=True)]
    found = metrics.faithfulness_estimate(linear, X, r, TARGET)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_the_curve_of_a_linear_model_is_a_sum(order: Any) -> None:
    made = metrics.flip(linear, X, right(), TARGET, order=order, steps=99)
    assert made.parts.tolist() == [k / 6 for k in range(7)]
    for row, terms in zip(made.scores, right(), strict=True):
        ordered = np.sort(terms)[::-1] if order == "morf" else np.sort(terms)
        wanted = terms.sum() - np.concatenate([[0], np.cumsum(ordered)])
        np.testing.assert_allclose(row, wanted, atol=1e-12)
    heights = (made.scores[:, 1:] + made.scores[:, :-1]) / 2
    np.testing.assert_allclose(made.area, heights.mean(1))


def test_insertion_starts_where_deletion_ends() -> None:
    deleted = metrics.flip(linear, X, right(), TARGET)
    inserted = metrics.flip(linear, X, right(), TARGET, insertion=True)
    np.testing.assert_allclose(inserted.scores[:, 0], deleted.scores[:, -1], atol=1e-12)
    np.testing.assert_allclose(inserted.scores[:, -1], deleted.scores[:, 0])
    np.testing.assert_allclose(inserted.scores[:, 1], right().max(1))


def test_no_order_beats_the_right_one() -> None:
    best = metrics.abpc(linear, X, right(), TARGET)
    assert (best > 0).all()
    np.testing.assert_allclose(metrics.abpc(linear, X, -right(), TARGET), -best)
    for seed in range(20):
        other = metrics.abpc(linear, X, normal(4, 6, seed=seed), TARGET)
        assert (other <= best + 1e-12).all()


def test_fidelity_tells_the_top_from_the_rest() -> None:
    """Of two groups of entries one is worth 3 each, the other 1: losses are these, times 2."""
    x = np.ones((2, 10))
    w = np.array([3.0] * 2 + [1.0] * 8)[:, None]
    relevance = np.broadcast_to(w[:, 0], x.shape)
    found = metrics.fidelity(lambda x: x @ w, x, relevance, 0, top=0.2, removed=0.2)
    np.testing.assert_allclose(found.plus, 6)
    np.testing.assert_allclose(found.minus, 2)
    np.testing.assert_allclose(found.difference, 4)


def test_completeness_is_what_is_missing() -> None:
    np.testing.assert_allclose(metrics.completeness(linear, X, right(), TARGET), 0, atol=1e-12)
    found = metrics.completeness(linear, X, right() + 1, TARGET)
    np.testing.assert_allclose(found, 6, atol=1e-12)
    mean = X.mean(0)
    about = (X - mean) * W[:, TARGET].T
    found = metrics.completeness(linear, X, about, TARGET, replace="mean", background=X)
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_a_histogram_is_complex_where_values_are_spread() -> None:
    r = [[0.0, 1, 2, 3], [5, 5, 5, 5], [-1, -1, -1, 1], [0, 1, 2, np.nan]]
    some = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    found = metrics.histogram_complexity(r, bins=4)
    np.testing.assert_allclose(found, [np.log(4), 0, some, np.nan])
    with pytest.raises(RequestError, match="bins are 1 or more, not 0"):
        metrics.histogram_complexity(r, bins=0)


@pytest.mark.parametrize(
    ("metric", "none", "whole"),
    [(metrics.complexity, 0, np.log(8)), (metrics.sparseness, 1 - 1 / 8, 0)],
)
def test_complexity_of_one_entry_and_of_all_alike(metric: Any, none: float, whole: float) -> None:
    one, flat = np.zeros(8), np.full(8, -0.5)
    one[3] = 2
    np.testing.assert_allclose(metric([one, flat]), [none, whole], atol=1e-12)
    assert np.isnan(metric(np.zeros((1, 8)))).all()


def test_sparseness_is_the_gini_index() -> None:
    r = np.abs(normal(3, 7, seed=4))
    gaps = np.abs(r[:, :, None] - r[:, None]).mean((1, 2))
    np.testing.assert_allclose(metrics.sparseness(r), gaps / (2 * r.mean(1)), rtol=1e-6)


def test_localisation() -> None:
    r = np.array([[[3.0, 1.0], [-5.0, 0.0]]])
    mask = np.array([[True, False], [True, False]])
    assert metrics.mass_inside(r, mask).tolist() == [0.75]
    assert metrics.rank_inside(r, mask).tolist() == [0.5]  # 3 and 1 are the first two
    assert metrics.pointing_game(r, mask).tolist() == [True]
    assert metrics.pointing_game(r, ~mask).tolist() == [False]
    assert np.isnan(metrics.mass_inside(-np.ones((1, 2, 2)), mask)).all()
    assert np.isnan(metrics.rank_inside(r, np.zeros((2, 2), bool))).all()
    with pytest.raises(RequestError, match="does not fit relevance"):
        metrics.mass_inside(r, np.ones(3, bool))


def test_relevance_that_stands_still_has_no_sensitivity() -> None:
    still = metrics.sensitivity(lambda x: np.broadcast_to(W[:, 0], x.shape), X)
    assert (still.most == 0).all() and (still.mean == 0).all()
    x = np.ones((2, 6))
    moved = metrics.sensitivity(lambda x: x * x, x, radius=0.1, samples=50)
    assert (moved.mean < moved.most).all()
    # (1 + e)^2 - 1 is 2 e + e^2 for every entry, and e is at most .1.
    assert (moved.most <= 0.21).all() and (moved.most > 0.1).all()


def test_units_are_replaced_and_ranked_as_one() -> None:
    squares = metrics.grid((3, 4, 6), 2)
    assert squares.shape == (3, 4, 6) and len(np.unique(squares)) == 6
    assert (squares[:, :2, :2] == squares[0, 0, 0]).all()
    assert (metrics.grid((4, 6, 3), 2, channel_axis=-1)[..., 0] == squares[0]).all()
    x, w = normal(2, 3, 4, 6, seed=5, dtype=np.float64), normal(72, 2, seed=6, dtype=np.float64)

    def predict(x: Array) -> Array:
        return x.reshape(len(x), -1) @ w

    relevance = x * w[:, 1].reshape(3, 4, 6)
    made = metrics.flip(predict, x, relevance, 1, units=squares)
    assert made.scores.shape == (2, 7)
    best = max(relevance[0][squares == unit].sum() for unit in np.unique(squares))
    np.testing.assert_allclose(made.scores[0, 0] - made.scores[0, 1], best)


def test_tokens_are_replaced_by_the_id_of_a_mask() -> None:
    table = normal(20, seed=7, dtype=np.float64)
    ids = np.array([[3, 7, 11], [5, 2, 19]])

    def predict(ids: Array) -> Array:
        assert ids.dtype == np.int64
        return table[ids].sum(1)

    relevance = table[ids] - table[0]
    made = metrics.flip(predict, ids, relevance, replace=0)
    np.testing.assert_allclose(made.scores[:, -1], 3 * table[0])
    np.testing.assert_allclose(made.scores[:, 0] - made.scores[:, 1], relevance.max(1))


@pytest.mark.parametrize("replace", ["zeros", "mean", "blur", "background"])
@pytest.mark.parametrize("metric", ["faithfulness_correlation", "faithfulness_estimate", "abpc"])
def test_a_sample_in_a_batch_gets_what_it_gets_alone(metric: str, replace: str) -> None:
    x, w = normal(3, 1, 5, 5, seed=5), normal(25, 2, seed=6)

    def predict(x: Array) -> Array:
        return np.tanh(x.reshape(len(x), -1).astype(np.float64) @ w)

    how = {"replace": replace, "background": x if replace == "background" else None}
    score, r = getattr(metrics, metric), normal(3, 1, 5, 5, seed=8)
    batch = score(predict, x, r, 1, **how)
    alone = score(predict, x[:1], r[:1], 1, **how)
    np.testing.assert_allclose(alone, batch[:1], rtol=1e-12)
    assert np.array_equal(batch, score(predict, x, r, 1, **how))


def test_a_background_is_drawn_for_every_copy() -> None:
    rows = np.array([[1.0] * 6, [2.0] * 6, [3.0] * 6])
    made = metrics.faithfulness_correlation(
        linear, X, right(), TARGET, replace="background", background=rows
    )
    assert (made > 0).any() and (made < 1).all()


def test_the_predicted_class_is_meant_where_none_is_named() -> None:
    named = metrics.abpc(linear, X, right(), (X @ W).argmax(1))
    np.testing.assert_array_equal(metrics.abpc(linear, X, right()), named)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"relevance": np.ones((4, 5))}, "relevance is shaped like the inputs"),
        ({"target": 3}, "targets are classes from 0 to 2"),
        ({"target": -1}, "targets are classes from 0 to 2"),
        ({"target": 0.5}, "targets are classes from 0 to 2"),
        ({"replace": "nothing"}, "there are: zeros, mean, blur, background"),
        ({"replace": "background"}, "needs a background="),
        ({"replace": "blur"}, "only pictures are blurred"),
        ({"replace": np.ones(5)}, "the replacement does not fit"),
        ({"background": np.ones((2, 5))}, "rows of the background are"),
        ({"units": np.ones(5)}, "units are shaped like a sample"),
        ({"size": 7}, "sets hold 1 to 6 units"),
    ],
)
def test_what_does_not_fit_is_said(how: Any, said: str) -> None:
    asked = {"relevance": right(), "target": TARGET, **how}
    with pytest.raises(RequestError) as caught:
        metrics.faithfulness_correlation(linear, X, **asked)
    assert said in str(caught.value)


def test_predict_returns_a_row_for_each_sample() -> None:
    with pytest.raises(RequestError, match="predict returned scores of 3 samples for 4"):
        metrics.abpc(lambda x: np.ones(3), X, right())


def test_conservation_is_the_part_that_is_there() -> None:
    found = metrics.conservation(right(), (X @ W)[np.arange(4), TARGET])
    np.testing.assert_allclose(found, 1, rtol=1e-12)
    assert metrics.conservation([[1.0, 2.0], [0.5, 0.0]], [6.0, 0.0]).tolist()[0] == 0.5
    assert np.isnan(metrics.conservation([[1.0]], [0.0])).all()
    with pytest.raises(RequestError, match="3 scores for 1 samples"):
        metrics.conservation([[1.0]], [1.0, 2.0, 3.0])


def test_tokens_give_way_but_special_ones() -> None:
    table = normal(20, seed=7, dtype=np.float64)
    ids = np.array([[1, 3, 7, 11, 2, 0], [1, 5, 19, 2, 0, 0]])

    def predict(ids: Array) -> Array:
        assert (ids[:, 0] == 1).all() and set(ids[:, -1].tolist()) == {0}
        return table[ids].sum(1, keepdims=True)

    r = table[ids] - table[4]
    found = metrics.token_perturbation(predict, ids, r, 0, replace=4, special=(0, 1, 2))
    for k, places in enumerate(([1, 2, 3], [1, 2])):
        for area, sign in ((found.morf, -1), (found.lerf, 1)):
            steps = np.concatenate([[0], np.cumsum(sign * np.sort(sign * r[k, places]))])
            curve = table[ids[k]].sum() - steps
            assert area[k] == pytest.approx(np.trapezoid(curve, dx=1 / len(places)))
    assert (found.delta > 0).all()
    with pytest.raises(RequestError, match="sample 0 has no tokens"):
        metrics.token_perturbation(predict, ids, r, 0, replace=4, special=range(20))
    with pytest.raises(RequestError, match="ids and relevance are"):
        metrics.token_perturbation(predict, ids, r[:, 1:], 0, replace=4)
