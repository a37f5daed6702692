"""What features are called."""

from __future__ import annotations

import numpy as np
import pytest

from backtrace_onnx.audit.data import Data
from backtrace_onnx.audit.features import find_features
from backtrace_onnx.errors import RequestError


def test_features_of_two_inputs_are_told_apart() -> None:
    feeds = {name: np.zeros((2, 2), np.float32) for name in ("old", "new")}
    names = {"old": ("age", "hours"), "new": ("age", "days")}
    found = find_features(Data(feeds, 2, names, None, ""), None)
    assert found.names == ("old.age", "hours", "new.age", "days")
    with pytest.raises(RequestError, match=r"feature 'x\.age' is there twice"):
        find_features(Data({"x": feeds["old"]}, 2, {"x": ("age", "age")}, None, ""), None)
