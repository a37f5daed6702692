"""Paths and names that are something else are refused by name, wherever they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtrace_onnx import ExplainBatches, explain_dataset
from backtrace_onnx.audit import audit, compare
from backtrace_onnx.errors import InputError, RequestError
from tests.command_line import ADULT, ROWS

BAD = {
    "a frame": pd.DataFrame({0: [1.0]}),
    "an array": np.zeros(2),
    "a list": [[1.0]],
    "a number": 3,
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_path_is_refused_by_name(bad: str, tmp_path: Path) -> None:
    given: Any = BAD[bad]
    calls: dict[str, Any] = {
        "data": lambda: audit(ADULT, given),
        "model": lambda: audit(given, str(ROWS)),
        "baseline_models": lambda: compare(given, ADULT, str(ROWS)),
        "baselines": lambda: audit(ADULT, str(ROWS), baselines=given),
        "settings": lambda: audit(ADULT, str(ROWS), settings=given),
        "groups": lambda: audit(ADULT, str(ROWS), groups=given),
        "reasons": lambda: audit(ADULT, str(ROWS), reasons=given),
        "sidecar": lambda: audit(ADULT, str(ROWS), sidecar=given),
        "labels": lambda: ExplainBatches(ADULT, labels=given),
        "class_labels": lambda: ExplainBatches(ADULT, class_labels=given),
        "out": lambda: explain_dataset(ADULT, ROWS, given),
        "more": lambda: explain_dataset(ADULT, ROWS, tmp_path / "o", more=given),
    }
    if bad in ("a frame", "an array"):  # which are rows, if none that the model takes
        with pytest.raises(InputError, match="the data: "):
            calls.pop("data")()
    for name, call in calls.items():
        with pytest.raises(RequestError, match=name):
            call()
    others: Any = RequestError, "data: a text or path, or a list of them, not "
    if bad in ("a frame", "an array"):  # rows at hand, of no columns that the model takes
        others = InputError, "has no column 'age'|not an array of shape"
    with pytest.raises(others[0], match=others[1]):
        explain_dataset(ADULT, given, tmp_path / "out")
    with pytest.raises(RequestError, match="seed is a number, 0 or more"):
        audit(ADULT, str(ROWS), seed=None)  # type: ignore[typeddict-item]
