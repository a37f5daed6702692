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


@pytest.mark.parametrize("back", [False, True])
def test_the_total_of_one_sample_is_that_of_all(back: bool) -> None:
    """However it lies in memory."""
    x, m = normal(1, 7, 50, seed=1), normal(1, 7, 50, seed=2)
    one, ops = (x.T, m.T) if back else (x, m), EagerOps(np.float32, Samples(1), Sessions(), {})
    expected = (x.astype(np.float64) * m).sum()
    total = ops.total(ops.worth(*one), SampleAxis(2 if back else 0))
    assert (total.shape, total.dtype) == ((1,), np.float64)
    np.testing.assert_allclose(total, expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [SampleAxis(0, alone=True), None])
@pytest.mark.parametrize("shape", [(6, 1), (50,), (1, 6, 50), (3, 1, 1), (1,), ()])
def test_a_bias_is_not_laid_out(axis: Any, shape: tuple[int, ...]) -> None:
    b, m = normal(*shape, seed=1), normal(3, 6, 50, seed=2)
    ops = EagerOps(np.float32, Samples(3), Sessions(), {"": 18})
    worth = ops.worth(b, m)
    assert isinstance(worth, Products)
    np.testing.assert_allclose(ops.total(worth, axis), ops.total(b * m, axis), rtol=1e-5, atol=1e-5)


def test_differences_are_taken_on_the_way() -> None:
    x, x0, m = (normal(3, 6, 50, seed=seed) for seed in (1, 2, 3))
    ops, axis = EagerOps(np.float32, Samples(3), Sessions(), {"": 18}), SampleAxis(0, alone=True)
    worth = ops.worth(x, m, x0)
    assert isinstance(worth, Products)
    np.testing.assert_allclose(ops.total(worth, axis), ops.total((x - x0) * m, axis), rtol=1e-5)
    np.testing.assert_array_equal(ops.Abs(worth), abs((x - x0) * m))
    np.testing.assert_array_equal(ops.worth(x, m, x0[:1]), (x - x0[:1]) * m)


def test_slopes_that_are_broadcast_are_multiplied() -> None:
    ops = EagerOps(np.float32, Samples(1), Sessions(), {"": 18})
    x, m = normal(4, 5, seed=1), normal(5, seed=2)
    np.testing.assert_array_equal(ops.worth(x, m), x * m)
