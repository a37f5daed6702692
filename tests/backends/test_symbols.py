"""Arithmetic on tensors to be: what onnxruntime makes of it is what Python makes of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.errors import RuleError
from backtrace_onnx.model.sessions import make_session
from backtrace_onnx.policies import divide, where

PAIRS = [(0.5, 3.0), (3.0, 0.5), (2.0, 2.0), (-1.5, 0.25), (0.0, 1.0), (1.0, -2.0)]

TEXTS: dict[str, Callable[[Any, Any], Any]] = {
    "1 - x": lambda x, y: 1 - x,
    "x - 1": lambda x, y: x - 1,
    "0 - x": lambda x, y: 0 - x,
    "0.0 + x": lambda x, y: 0.0 + x,
    "2 * x": lambda x, y: 2 * x,
    "np.float64(2) * x": lambda x, y: np.float64(2) * x,
    "np.float64(2) - x": lambda x, y: np.float64(2) - x,
    "x ** 2": lambda x, y: x**2,
    "2 ** x": lambda x, y: 2**x,
    "abs(x) ** y": lambda x, y: abs(x) ** y,
    "1 / y": lambda x, y: 1 / y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, y: -x,
    "+x": lambda x, y: +x,
    "abs": lambda x, y: abs(x - y),
    "divide": lambda x, y: divide(1 - y, x),
    "1 divided": lambda x, y: divide(1, y) + divide(x, 4.0),
    "<": lambda x, y: where(x < y, x, y),
    "number <": lambda x, y: where(x > 1, x, y),
    "number >=": lambda x, y: where(x <= 0.5, 1, y),
    "<= and ==": lambda x, y: where((x <= y) | (x == 2), x, -y),
    "!= and >": lambda x, y: where((x != 2) & (y > 0), 3.0, x),
    "^": lambda x, y: where((x > 1) ^ (y > 1), x, 0),
    "True ^": lambda x, y: where(True ^ (x > 1), x, 2 * y),
    "False |": lambda x, y: where(False | (x > 1), 1, 0 * y),
    "True &": lambda x, y: where(True & (x > 1), 1 - x, 1 + y),
}


def written(text: Callable[[Any, Any], Any]) -> np.ndarray:
    """What onnxruntime makes of the text, for all pairs at once."""
    ops = EmitOps(np.float32)
    made = ops.output(text(Symbol(ops, "x"), Symbol(ops, "y")), "made")
    graph = helper.make_graph(
        ops.nodes,
        "text",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [len(PAIRS)]) for n in "xy"],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, [len(PAIRS)])],
        [numpy_helper.from_array(array, name) for name, array in ops.constants.items()],
    )
    opsets = [helper.make_opsetid("", ops.opset)]
    session = make_session(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    x, y = np.array(PAIRS, np.float32).T
    found: np.ndarray = session.run(None, {"x": x, "y": y})[0]
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_arithmetic_is_that_of_numbers(name: str) -> None:
    text = TEXTS[name]
    np.testing.assert_allclose(written(text), [text(x, y) for x, y in PAIRS], rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        lambda x, y: x if x > 0 else y,
        lambda x, y: max(x, y),
        lambda x, y: where(0 < x < 1, x, y),
        lambda x, y: where(x > 0 and y > 0, x, y),
        lambda x, y: where(not x > 0, x, y),
    ],
)
def test_a_tensor_is_neither_true_nor_false(text: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(RuleError, match=r"use `where`, `&` and `\|`"):
        written(text)
