"""How units lie is kept for those that are met again, and never mixed up."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.backends.layout import Samples, UnitLayouts, lay_out
from tests.graphs import Array

FLOAT = np.dtype(np.float32)


def test_what_is_kept_is_what_would_be_found() -> None:
    """Shapes, biases, counts of samples and axes each have a layout of their own."""
    layouts = UnitLayouts()
    biases = (None, np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32))
    for _ in range(2):
        for shape in ((2, 3, 4), (4, 3, 2), (1, 3, 2)):
            for bias in biases:
                for count, axis in ((1, 0), (2, 0), (2, 2), (1, None)):
                    given = (shape, bias, FLOAT, Samples(count), axis)
                    found, expected = layouts.find(*given), lay_out(*given)
                    sizes = (found.outer, found.middle, found.inner)
                    assert sizes == (expected.outer, expected.middle, expected.inner)
                    np.testing.assert_array_equal(found.bias, expected.bias)
                    np.testing.assert_array_equal(found.sample, expected.sample)


def test_a_layout_is_met_again() -> None:
    layouts, bias = UnitLayouts(), np.ones(3, np.float32)
    given = ((2, 3), bias, FLOAT, Samples(1), 0)
    assert layouts.find(*given) is layouts.find(*given)


def test_another_bias_in_the_place_of_one_that_is_gone_is_another() -> None:
    """Arrays that are freed leave their address to the next ones."""
    layouts = UnitLayouts()
    for value in range(1000):
        bias: Array = np.full(3, value, np.float32)
        assert layouts.find((2, 3), bias, FLOAT, Samples(1), 0).bias.ravel()[0] == value
        del bias
