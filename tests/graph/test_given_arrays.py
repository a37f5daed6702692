"""What is given beside the inputs keeps its values, or is refused in words of this package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, RequestError
from backtrace_onnx.graph.given_arrays import array_as
from tests.graphs import mlp, normal

X = normal(3, 4)
STRANGE = [
    (X + 1j, "holds complex64, and float32 is taken: give the real part"),
    (np.full((3, 4), "1"), "holds <U1, and float32 is taken: give numbers"),
    (np.full((3, 4), b"1"), "holds |S1, and float32 is taken"),
    (np.full((3, 4), "2020-01-01", "M8[D]"), "holds datetime64[D], and float32 is taken"),
    (np.zeros((3, 4), [("a", "f4")]), "and float32 is taken"),
    (np.full((3, 4), "a", object), "holds 'a' at (0, 0), which is no number"),
    (np.full((3, 4), 1j, object), "holds 1j at (0, 0), which is no number"),
    ({"x": [[1.0, 2.0], [3.0]]}, "its lists are not all of one length"),
    (np.full((3, 4), 1e300), "the value 1e+300 at (0, 0) does not fit into float32"),
]


def _asked(explainer: Explainer, where: str, given: Any, folder: Path) -> Any:
    if where == "baseline":
        return explainer.explain(X, mode="deeplift", baseline=given)
    if where == "background":
        return explainer.explain(X, mode="expected_gradients", background=given)
    if where == "mean":
        return explainer.explain(X, mode="deeplift", baseline="mean", background=given)
    if where == "start":
        given = given["x"] if isinstance(given, dict) else given[:, :3]
        return explainer.explain(X, mode="lrp", start=given)
    if where == "compiled":
        return explainer.compile(folder / "c.onnx", mode="deeplift", baseline=given)
    assert where == "compiled background"
    return explainer.compile(folder / "c.onnx", mode="expected_gradients", background=given)


@pytest.mark.parametrize(("given", "why"), STRANGE)
@pytest.mark.parametrize(
    "where", ["baseline", "background", "mean", "start", "compiled", "compiled background"]
)
def test_what_is_no_array_of_numbers_is_refused(
    where: str, given: Any, why: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=re.escape(why)) as found:
        _asked(Explainer(mlp()), where, given, tmp_path)
    assert ("start" if where == "start" else "'x'") in str(found.value)


def test_a_baseline_that_does_not_fit_is_told_its_shape() -> None:
    with pytest.raises(RequestError, match=re.escape("of shape (3, 5), does not fit")) as found:
        Explainer(mlp()).explain(X, mode="deeplift", baseline=normal(3, 5))
    assert "original" not in str(found.value) and "(3, 4): give" in str(found.value)


def test_baselines_of_captums_call_are_read_alike() -> None:
    with pytest.raises(RequestError, match="holds complex64"):
        Explainer(mlp()).attribute(X, X + 1j)
    with pytest.raises(RequestError, match="which is no number"):
        Explainer(mlp()).attribute(X, [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("given", "dtype", "made"),
    [
        ([1, 2], np.float32, [1, 2]),
        ([True, False], np.float32, [1, 0]),
        (np.array([1, 2.5], object), np.float32, [1, 2.5]),
        (np.array([1, 2], object), np.int64, [1, 2]),
        (np.array([1.0, 2.0]), np.int64, [1, 2]),
        ([1, 0], np.bool_, [True, False]),
        (np.float64(0.1), np.float32, np.float32(0.1)),
        (np.array(["a"]), object, ["a"]),
    ],
)
def test_what_fits_is_taken(given: Any, dtype: Any, made: Any) -> None:
    found = array_as(given, dtype, "it")
    assert found.dtype == np.dtype(dtype) and np.array_equal(found, made)


def test_none_is_a_missing_number() -> None:
    assert np.isnan(array_as([None, 1.0], np.float32, "it")).tolist() == [True, False]


@pytest.mark.parametrize(
    ("given", "dtype", "why"),
    [
        ([1.5], np.int64, "the value 1.5 at (0,) does not fit into int64"),
        (float("nan"), np.int64, "the value nan does not fit into int64"),
        ([300], np.int8, "the value 300 at (0,) does not fit into int8"),
        ([-1], np.uint8, "the value -1 at (0,) does not fit into uint8"),
        ([2], np.bool_, "the value 2 at (0,) does not fit into bool"),
        ([None], np.int64, "holds None at (0,)"),
        ([1], object, "texts are taken"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, dtype: Any, why: str) -> None:
    with pytest.raises(RequestError, match=re.escape(why)):
        array_as(given, dtype, "it")
