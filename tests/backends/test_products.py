"""Totals of values times slopes, without the products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.products import Products
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.graph.graph import SampleAxis
from tests.graphs import normal


@pytest.mark.parametrize("axis", [SampleAxis(0, alone=True), SampleAxis(1, inner=2), None])
def test_totals_are_those_of_the_products(axis: Any) -> None:
    x, m = normal(3, 6, 50, seed=1), normal(3, 6, 50, seed=2)
    ops = EagerOps(np.float32, Samples(3), Sessions(), {"": 18})
    worth = ops.worth(x, m)
    assert isinstance(worth, Products)
    np.testing.assert_allclose(ops.total(worth, axis), ops.total(x * m, axis), rtol=1e-6)
    np.testing.assert_array_equal(ops.Abs(worth), abs(x * m))


def test_what_is_broadcast_is_multiplied() -> None:
    ops = EagerOps(np.float32, Samples(1), Sessions(), {"": 18})
    x, m = normal(4, 5, seed=1), normal(5, seed=2)
    np.testing.assert_array_equal(ops.worth(x, m), x * m)
