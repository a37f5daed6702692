"""Operators of com.microsoft that ONNX has, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.cases import Fixed, fixed
from tests.expansions.checks import check, numbers

X, IMAGE, GRID = numbers(2, 5, 8), numbers(2, 3, 6, 6), fixed(0.5 * numbers(2, 4, 4, 2))


def int32(value: Any) -> Fixed:
    return fixed(value, np.int32)


@pytest.mark.parametrize(
    ("op_type", "operands", "attributes"),
    [
        ("ExpandDims", (X, int32(-1)), {}),
        ("ExpandDims", (X, int32(1)), {}),
        ("Trilu", (X,), {}),
        ("Trilu", (X, fixed(1)), {"upper": 0}),
        ("GatherND", (X, int32([[0, 1], [1, 3]])), {}),
        ("Pad", (X, fixed([0, 1, 0, 0, 2, 0]), fixed([2.0], np.float32)), {}),
        ("Pad", (X, fixed([[0, 1, 0, 0, 2, 0]])), {"mode": "edge"}),
        ("Unique", (np.array([3, 1, 3, 2, 1], np.float32),), {"outputs": 3}),
        ("GridSample", (IMAGE, GRID), {"opset": 17}),
        ("GridSample", (IMAGE, GRID), {"mode": "bicubic", "padding_mode": "border"}),
        ("GridSample", (IMAGE, GRID), {"mode": "nearest", "align_corners": 1}),
        ("UnfoldTensor", (numbers(2, 7, 3),), {"dim": 1, "size": 3, "step": 2}),
        ("UnfoldTensor", (numbers(2, 7),), {"size": 2}),
        ("SampleOp", (X,), {}),
    ],
)
def test_alike(op_type: str, operands: Any, attributes: dict[str, Any]) -> None:
    check(op_type, *operands, **attributes)
