"""Whatever callers give, metrics refuse it by name: no error of NumPy's comes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtrace_onnx import metrics
from backtrace_onnx.errors import BacktraceError

R = np.random.default_rng(0).standard_normal((3, 4))
BAD: dict[str, Any] = {
    "None": None,
    "no samples": np.zeros((0, 4)),
    "no entries": np.zeros((3, 0)),
    "a number": 1.0,
    "a text": "abc",
    "texts": np.array([["a"] * 4] * 3, object),
    "ragged": [[1.0, 2.0], [1.0]],
    "another shape": np.zeros((2, 5)),
}
OF_RELEVANCE = {
    "complexity": metrics.complexity,
    "sparseness": metrics.sparseness,
    "histogram_complexity": metrics.histogram_complexity,
    "similarity": lambda r: metrics.similarity(r, R),
    "class_sensitivity": lambda r: metrics.class_sensitivity(R, r),
    "conservation": lambda r: metrics.conservation(r, [1.0, 1.0, 1.0]),
}
OF_A_MODEL = {
    name: getattr(metrics, name)
    for name in ("abpc", "flip", "faithfulness_correlation", "fidelity", "completeness")
}
ALONE = {"complexity", "sparseness", "histogram_complexity"}


def predict(x: Any) -> Any:
    sums = np.asarray(x, np.float64).reshape(len(x), -1).sum(1)
    return np.stack([sums, -sums], 1)


def refused(call: Any) -> None:
    with pytest.raises(BacktraceError):
        call()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", OF_RELEVANCE)
def test_relevance_that_is_none_is_refused(name: str, bad: str) -> None:
    if bad == "another shape" and name in ALONE:
        pytest.skip("any shape will do")
    refused(lambda: OF_RELEVANCE[name](BAD[bad]))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", OF_A_MODEL)
def test_what_does_not_fit_a_model_is_refused(name: str, bad: str) -> None:
    call, given = OF_A_MODEL[name], BAD[bad]
    if bad not in ("texts", "a text", "ragged", "another shape"):
        refused(lambda: call(predict, given, R))
    if bad != "another shape" or name != "completeness":
        refused(lambda: call(predict, R, given))
    refused(lambda: call(lambda _: given, R, R))
    if bad != "None":
        refused(lambda: call(predict, R, R, given))


@pytest.mark.parametrize("bad", BAD)
def test_what_noise_is_added_to_is_numbers(bad: str) -> None:
    refused(lambda: metrics.sensitivity(lambda x: BAD[bad], R))
    if bad != "another shape":
        refused(lambda: metrics.sensitivity(np.asarray, BAD[bad]))


def test_a_frame_and_a_list_are_arrays() -> None:
    for given in (pd.DataFrame(R), R.tolist()):
        np.testing.assert_array_equal(metrics.complexity(given), metrics.complexity(R))
        np.testing.assert_array_equal(
            metrics.abpc(predict, given, given), metrics.abpc(predict, R, R)
        )
