"""Numbers with their sign: nothing has none."""

from __future__ import annotations

import pytest

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.signed_amounts import signed, signed_percent


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (1.23456, "+1.235"), (-2e-9, "-2e-09")]
)
def test_numbers(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(-0.0, "0.0%"), (-0.0004, "0.0%"), (0.0, "0.0%"), (0.0006, "+0.1%"), (-0.1, "-10.0%")],
)
def test_shares(share: float, text: str) -> None:
    assert signed_percent(share) == text


@pytest.mark.parametrize(("share", "text"), [(-0.0, "0.0%"), (-0.0004, ">-0.1%"), (-0.2, "-20.0%")])
def test_percent_of_what_is_less_than_nothing(share: float, text: str) -> None:
    assert percent(share) == text
