"""Cells of every kind as the elements of an input: exact, or refused with a reason."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from backtrace_onnx.inputs.columns import CellError, Missing, encode, mean_present

FLOAT, DOUBLE, INT64, INT8 = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.INT8,
)
BOOL, STRING, HALF = TensorProto.BOOL, TensorProto.STRING, TensorProto.FLOAT16


def column(*values: Any) -> Any:
    made = np.empty(len(values), object)
    made[:] = values
    return made


RIGHT: list[tuple[Any, int, list[Any]]] = [
    (column("1", " 2.5 ", "-3e2", "+4", ".5", "6."), FLOAT, [1, 2.5, -300, 4, 0.5, 6]),
    (column("38", "38.0", "-1", "1e3", str(2**62)), INT64, [38, 38, -1, 1000, 2**62]),
    (column("True", "false", "1", "0"), BOOL, [True, False, True, False]),
    (column(True, False), FLOAT, [1.0, 0.0]),
    (column(1, 2.0, np.int8(3), Decimal("4")), INT64, [1, 2, 3, 4]),
    (column("a", "", " b "), STRING, ["a", "", " b "]),
    (column("a", None, np.nan), STRING, ["a", "", ""]),
    (column(date(2024, 1, 5)), STRING, ["2024-01-05"]),
    (np.array([1, 2], np.int8), FLOAT, [1.0, 2.0]),
    (np.array([1.0, 2.0]), INT64, [1, 2]),
    (np.array([2**63], np.uint64), FLOAT, [2.0**63]),
    (np.array([True, False]), INT64, [1, 0]),
    (np.array([0.1]), FLOAT, [np.float32(0.1)]),
    (column("16777217.0"), FLOAT, [16777216.0]),
]


@pytest.mark.parametrize(("values", "element", "wanted"), RIGHT)
def test_values_become_elements(values: Any, element: int, wanted: list[Any]) -> None:
    made = encode(values, element, Missing())
    assert made.tolist() == [np.float32(w) if element == FLOAT else w for w in wanted]


WRONG: list[tuple[Any, int, int, str]] = [
    (column("1", "old"), FLOAT, 1, "'old' is not a number$"),
    (column("1,234"), FLOAT, 0, "without separators of thousands"),
    (column("1.234.567"), FLOAT, 0, "without separators of thousands"),
    (column("1_000"), FLOAT, 0, "without separators of thousands"),
    (column("3,5"), FLOAT, 0, "write it with a decimal point"),
    (column("NA"), FLOAT, 0, "leave the cell empty"),
    (column("inf"), FLOAT, 0, "not a finite number"),
    (column("-Infinity"), DOUBLE, 0, "not a finite number"),
    (column("1e999"), DOUBLE, 0, "not a finite number"),
    (column("9" * 5000), DOUBLE, 0, "not a finite number"),
    (column("9" * 400), DOUBLE, 0, "does not fit into float64"),
    (column("1e300"), FLOAT, 0, "does not fit into float32"),
    (column(70000), HALF, 0, "does not fit into float16"),
    (column("16777217"), FLOAT, 0, r"not exactly a float32.*\(16777217.0\)"),
    (np.array([5, 16777217]), FLOAT, 1, "not exactly a float32"),
    (np.array([2**63 - 1]), FLOAT, 0, "not exactly a float32"),
    (np.array([1.0, 2.5]), INT64, 1, "2.5 is not whole"),
    (np.array([1.0, 2.0**63]), INT64, 1, "does not fit into int64"),
    (np.array([1.0, np.inf]), FLOAT, 1, "'inf' is not a finite number"),
    (np.array([300]), INT8, 0, "300 does not fit into int8"),
    (column("2"), BOOL, 0, "'2' does not fit into bool"),
    (column("\uff11\uff12"), FLOAT, 0, "is not a number"),
    (column("50%"), FLOAT, 0, "is not a number"),
    (column(datetime(2024, 1, 5)), FLOAT, 0, "is a time; turn it into the number"),
    (column(datetime(2024, 1, 5)), STRING, 0, "is a time; write it as"),
    (column(b"1"), FLOAT, 0, "is not a number"),
    (column(3), STRING, 0, "3 is no text"),
    (np.array([3.5]), STRING, 0, "3.5 is no text"),
    (column(1.0, None), FLOAT, 1, "the value is missing"),
    (column("4", ""), INT64, 1, "the value is missing"),
    (np.array([1.0, np.nan]), FLOAT, 1, "the value is missing"),
]


@pytest.mark.parametrize(("values", "element", "row", "words"), WRONG)
def test_what_does_not_fit_is_told(values: Any, element: int, row: int, words: str) -> None:
    with pytest.raises(CellError, match=words) as caught:
        encode(values, element, Missing())
    assert caught.value.row == row


@pytest.mark.parametrize(
    "values", [column("1", "", "nan"), column(1, None, np.nan), np.array([1, np.nan, np.nan])]
)
def test_missing_numbers(values: Any) -> None:
    nan = encode(values, FLOAT, Missing(nan=True))
    np.testing.assert_array_equal(nan, np.array([1, np.nan, np.nan], np.float32))
    assert encode(values, FLOAT, Missing(7, nan=True)).tolist() == [1, 7, 7]
    assert encode(values, INT64, Missing(7)).tolist() == [1, 7, 7]
    with pytest.raises(CellError, match="the value is missing"):
        encode(values, INT64, Missing(nan=True))
    with pytest.raises(CellError, match=r"what stands for it, 7\.5 is not whole"):
        encode(values, INT64, Missing(7.5))


def test_missing_texts() -> None:
    values = column("a", "", None)
    assert encode(values, STRING, Missing("none")).tolist() == ["a", "none", "none"]
    assert encode(values, STRING, Missing()).tolist() == ["a", "", ""]


def test_the_mean_of_what_is_there() -> None:
    rows = np.array([[1, np.nan, np.nan], [2, 4, np.nan], [6, 8, np.nan]], np.float32)
    found = mean_present(rows)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [3, 6, np.nan])
    wide = np.full((3, 1), 16777216, np.float32)  # whose sum float32 would round
    assert mean_present(wide + np.array([[0], [0], [2]], np.float32))[0] == 16777216 + 2 / 3
