"""What callers give metrics: arrays of all kinds, and what is refused by name, never by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtrace_onnx import RequestError, metrics

W = np.array([[2.0, -1.0], [1.0, 0.5], [-1.0, 1.0], [0.5, 0.0], [0.1, 0.2]])
X = np.random.default_rng(0).normal(size=(3, 5))
R = X * W[:, 0]
BAD: dict[str, Any] = {
    "None": None,
    "no samples": np.zeros((0, 5)),
    "no entries": np.zeros((3, 0)),
    "a number": 1.0,
    "a text": "abc",
    "texts": np.array([["a"] * 5] * 3, object),
    "ragged": [[1.0, 2.0], [1.0]],
    "another shape": np.zeros((2, 4)),
}
SAID = {
    "None": r"is an array \[samples, \.\.\.\], not None",
    "no samples": r"has nothing in it: its shape is \(0, 5\)",
    "no entries": r"has nothing in it: its shape is \(3, 0\)",
    "a number": r"is an array \[samples, \.\.\.\], not float",
    "a text": r"is an array \[samples, \.\.\.\], not str",
    "texts": "holds no numbers, but object",
    "ragged": r"is no array \[samples, \.\.\.\]",
}
OF_RELEVANCE: dict[str, Any] = {
    "complexity": metrics.complexity,
    "sparseness": metrics.sparseness,
    "histogram_complexity": metrics.histogram_complexity,
    "similarity": lambda r: metrics.similarity(r, R),
    "class_sensitivity": lambda r: metrics.class_sensitivity(R, r),
    "conservation": lambda r: metrics.conservation(r, [1.0, 1.0, 1.0]),
}
OF_A_MODEL: dict[str, Any] = {
    "correlation": metrics.faithfulness_correlation,
    "estimate": metrics.faithfulness_estimate,
    "fidelity": metrics.fidelity,
    "flip": metrics.flip,
    "abpc": metrics.abpc,
    "completeness": metrics.completeness,
}


def predict(x: Any) -> Any:
    return np.asarray(x) @ W


def refused(call: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        call()


@pytest.mark.parametrize("bad", SAID)
@pytest.mark.parametrize("name", OF_RELEVANCE)
def test_relevance_that_is_none_is_refused(name: str, bad: str) -> None:
    refused(lambda: OF_RELEVANCE[name](BAD[bad]), f"^relevance {SAID[bad]}")


@pytest.mark.parametrize("name", ["similarity", "class_sensitivity", "conservation"])
def test_relevance_of_another_shape_than_what_it_is_held_to(name: str) -> None:
    said = r"there are 3 scores for 2" if name == "conservation" else r"two explanations are of one"
    refused(lambda: OF_RELEVANCE[name](BAD["another shape"]), said)


@pytest.mark.parametrize("bad", SAID)
@pytest.mark.parametrize("name", OF_A_MODEL)
def test_what_does_not_fit_a_model_is_refused(name: str, bad: str) -> None:
    call, given, said = OF_A_MODEL[name], BAD[bad], SAID[bad]
    if bad != "texts":  # the function is the caller's, and so is what it raises for them
        refused(lambda: call(predict, given, R), f"^x {said}")
    refused(lambda: call(predict, X, given), f"^relevance {said}")
    refused(lambda: call(lambda _: given, X, R), f"^what predict returned {said}")
    if bad != "None":
        refused(lambda: call(predict, X, R, given), "^targets? (is a class|are classes)")


@pytest.mark.parametrize("name", OF_A_MODEL)
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"relevance": R[:, :4]}, r"relevance is shaped like the inputs, \(3, 5\), not \(3, 4\)"),
        ({"relevance": np.where(R[1, 2] == R, np.nan, R)}, "relevance of sample 1 holds NaN"),
        ({"target": [0, 1]}, "target is a class for all, or one for each of 3"),
        ({"target": 2}, "targets are classes from 0 to 1"),
        ({"predict": lambda x: predict(x) * np.nan}, "NaN or Inf as the score of a target"),
        ({"predict": lambda x: predict(x)[:1]}, r"predict returned scores of 1 samples for \d+"),
        ({"replace": None}, "replace is zeros, .*, not None"),
        ({"replace": "background", "background": X[:0]}, "background has nothing in it"),
    ],
)
def test_what_does_not_go_together_is_said(name: str, changed: dict[str, Any], said: str) -> None:
    given = {"predict": predict, "x": X, "relevance": R, "target": 0, **changed}
    refused(lambda: OF_A_MODEL[name](**given), said)


@pytest.mark.parametrize("bad", SAID)
def test_what_noise_is_added_to_is_numbers(bad: str) -> None:
    refused(lambda: metrics.sensitivity(lambda x: BAD[bad], X), f"^relevance {SAID[bad]}")
    refused(lambda: metrics.sensitivity(np.asarray, BAD[bad]), f"^x {SAID[bad]}")


def test_a_frame_and_a_list_are_arrays() -> None:
    for given in (pd.DataFrame(R), R.tolist()):
        np.testing.assert_array_equal(metrics.complexity(given), metrics.complexity(R))
        np.testing.assert_array_equal(
            metrics.abpc(predict, given, given), metrics.abpc(predict, R, R)
        )


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
