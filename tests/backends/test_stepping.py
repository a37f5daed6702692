"""Texts of one step, computed and written for every row."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx.backends.texts import write_text
from backtrace_onnx.ops.vocabulary import Ops, Value
from tests.cases import normal, session

RNG = np.random.default_rng(0)
STEPS, WIDTH = 5, 3


def written(text: Any, *args: Any) -> tuple[onnx.ModelProto, list[Any]]:
    """The model of a text, and what it computes."""
    feeds = {f"x{i}": x for i, x in enumerate(args)}
    model, _ = write_text(text, args, feeds, np.dtype(np.float32))
    return model, session(model).run(None, feeds)


def body(model: onnx.ModelProto) -> list[str]:
    """Operators in the body of the model's only Scan."""
    (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
    return [node.op_type for a in scan.attribute if a.name == "body" for node in a.g.node]


@pytest.mark.parametrize("back", [False, True])
def test_rows_in_order(back: bool) -> None:
    """c = f * c + |a|, from the first row or the last."""

    def text(e: Ops, f: Value, a: Value, start: Value) -> Any:
        def step(e: Ops, carried: Any, f: Value, a: Value) -> Any:
            after = e.Add(e.Mul(carried[0], f), e.Abs(a))
            return [after], [after, e.Abs(a)]

        (end,), (every, magnitudes) = e.scan(step, [start], [f, a], back=back)
        return end, every, magnitudes

    f, a, start = normal(RNG, STEPS, WIDTH), normal(RNG, STEPS, WIDTH), normal(RNG, WIDTH)
    model, (end, every, magnitudes) = written(text, f, a, start)
    wanted, state = np.empty_like(f), start
    for t in range(STEPS)[:: -1 if back else 1]:
        state = wanted[t] = state * f[t] + abs(a[t])
    np.testing.assert_allclose(every, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(end, state, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(magnitudes, abs(a))
    assert "Abs" not in body(model)


def test_factors_from_outside_are_one() -> None:
    """Several products with what is not carried cost one node in the body."""

    def text(e: Ops, x: Value, y: Value, start: Value) -> Any:
        def step(e: Ops, carried: Any, x: Value, y: Value) -> Any:
            scaled = e.Div(e.Mul(e.Mul(x, carried[0]), e.scalar(0.5)), y)
            unread = e.Exp(carried[0])
            assert unread is not None
            return [e.Add(scaled, x)], [scaled]

        (end,), (every,) = e.scan(step, [start], [x, y])
        return end, every

    x, y, start = normal(RNG, STEPS, WIDTH), normal(RNG, STEPS, WIDTH), normal(RNG, WIDTH)
    model, (end, every) = written(text, x, y, start)
    state = start
    for t in range(STEPS):
        scaled = state * x[t] * 0.5 / y[t]
        np.testing.assert_allclose(every[t], scaled, rtol=1e-4, atol=1e-5)
        state = scaled + x[t]
    np.testing.assert_allclose(end, state, rtol=1e-4, atol=1e-5)
    assert body(model).count("Mul") == 1
    assert not {"Div", "Exp"} & set(body(model))


def test_truth_of_a_row() -> None:
    """Comparisons outside are rows of booleans inside; what is passed on is copied."""

    def text(e: Ops, x: Value, start: Value) -> Any:
        def step(e: Ops, carried: Any, x: Value) -> Any:
            on = e.Where(e.Greater(x, e.zero()), e.Add(carried[0], x), carried[0])
            return [on], [carried[0]]

        (end,), (before,) = e.scan(step, [start], [x])
        return end, before

    x, start = normal(RNG, STEPS, WIDTH), normal(RNG, WIDTH)
    _, (end, before) = written(text, x, start)
    np.testing.assert_allclose(end, start + np.maximum(x, 0).sum(0), rtol=1e-5)
    np.testing.assert_array_equal(before[0], start)
