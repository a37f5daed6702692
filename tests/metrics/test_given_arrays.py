"""What callers give metrics: arrays of all kinds, and what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import RequestError, metrics

W = np.array([[2.0, -1.0], [1.0, 0.5], [-1.0, 1.0], [0.5, 0.0], [0.1, 0.2]])
X = np.random.default_rng(0).normal(size=(3, 5))
R = X * W[:, 0]


def predict(x: Any) -> Any:
    return np.asarray(x) @ W


FAITHFUL: dict[str, Any] = {
    "correlation": metrics.faithfulness_correlation,
    "estimate": metrics.faithfulness_estimate,
    "fidelity": metrics.fidelity,
    "flip": metrics.flip,
    "abpc": metrics.abpc,
    "completeness": metrics.completeness,
}


@pytest.mark.parametrize("name", FAITHFUL)
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": X[:0], "relevance": R[:0]}, r"x has nothing in it: its shape is \(0, 5\)"),
        ({"relevance": R[:, :4]}, r"relevance is shaped like the inputs, \(3, 5\), not \(3, 4\)"),
        ({"relevance": np.where(R[1, 2] == R, np.nan, R)}, "relevance of sample 1 holds NaN"),
        ({"relevance": None}, "relevance is an array"),
        ({"relevance": "abc"}, "relevance is an array .*, not str"),
        ({"target": [0, 1]}, "target is a class for all, or one for each of 3"),
        ({"target": 2}, "targets are classes from 0 to 1"),
        ({"predict": lambda x: predict(x) * np.nan}, "NaN or Inf as the score of a target"),
        ({"predict": lambda x: None}, "what predict returned is an array"),
        ({"predict": lambda x: predict(x)[:1]}, r"predict returned scores of 1 samples for \d+"),
        ({"replace": None}, "replace is zeros, .*, not None"),
        ({"replace": "background", "background": X[:0]}, "background has nothing in it"),
    ],
)
def test_what_does_not_fit_is_said(name: str, changed: dict[str, Any], said: str) -> None:
    given = {"predict": predict, "x": X, "relevance": R, "target": 0, **changed}
    with pytest.raises(RequestError, match=said):
        FAITHFUL[name](**given)


def test_arrays_of_others_are_taken() -> None:
    torch = pytest.importorskip("torch")
    wanted = metrics.abpc(predict, X, R, 0)
    given = torch.tensor(X, requires_grad=True), torch.tensor(R, requires_grad=True)
    weights = torch.tensor(W, requires_grad=True)
    found = metrics.abpc(lambda x: torch.tensor(x) @ weights, *given, torch.tensor(0))
    assert np.array_equal(found, wanted)
    assert np.array_equal(
        metrics.abpc(lambda x: predict(x).tolist(), X.tolist(), R.tolist(), 0), wanted
    )


def test_a_set_of_all_units_says_nothing() -> None:
    """All sets are one: that their sums differ by rounding is no correlation."""
    x, r = X.astype(np.float32), R.astype(np.float32)
    found = metrics.faithfulness_correlation(predict, x, r, 0, size=5)
    assert found.tolist() == [0, 0, 0]
    one = metrics.faithfulness_correlation(lambda x: x, x[:, :1], r[:, :1], 0)
    assert one.tolist() == [0, 0, 0]


def test_places_that_tie_are_inside_in_part() -> None:
    mask = np.array([[True, True, False, False]] * 3)
    r = np.array([[0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0], [np.nan, 1.0, 2.0, 3.0]])
    assert metrics.rank_inside(r, mask)[:2].tolist() == [0.5, (1 + 1 / 3) / 2]
    assert np.isnan(metrics.rank_inside(r, mask)[2])
    assert metrics.pointing_game(r[:2], mask[:2]).tolist() == [False, True]
    assert metrics.pointing_game([[2, 2, 0, 0]], mask[:1]).tolist() == [True]
    with pytest.raises(RequestError, match="points nowhere"):
        metrics.pointing_game(r, mask)
    for wrong in ("a", 0.5, np.nan):
        with pytest.raises(RequestError, match="a mask is true and false, or 1 and 0"):
            metrics.mass_inside(r, wrong)
    assert np.array_equal(metrics.mass_inside(r[1:2], mask[:1] * 1.0), [4 / 6])


def test_explanations_that_do_not_go_together() -> None:
    for compare in (metrics.similarity, metrics.class_sensitivity):
        with pytest.raises(RequestError, match=r"\(3, 5\) and \(2, 5\)"):
            compare(R, R[:2])
        unknown = compare(np.where(R[0, 0] == R, np.inf, R), R)
        assert np.isnan(unknown[0]) and np.isfinite(unknown[1:]).all()
    with pytest.raises(RequestError, match="explain returned relevance of 2 samples for 3"):
        metrics.sensitivity(lambda x: x[:2], X)
    with pytest.raises(RequestError, match="radius does not fit"):
        metrics.sensitivity(lambda x: x, X, radius=[1.0, 2.0])
    for how in ({"removed": 0}, {"top": 1}, {"runs": 0}):
        with pytest.raises(RequestError, match="top and removed are parts"):
            metrics.fidelity(predict, X, R, **how)
    with pytest.raises(RequestError, match="channel_axis=0"):
        metrics.grid((28, 28), 4)


def test_values_that_lie_next_to_each_other_are_one() -> None:
    near = np.array([[1e-300, 2e-320], [1.0, np.nextafter(1, 2)]])
    assert np.isfinite(metrics.histogram_complexity(near)).all()
    assert str(metrics.complexity([[0.0, 3.0]])) == "[0.]"
