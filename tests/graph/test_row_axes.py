"""Rows that depend on no others, held to running the operator on fewer rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.node_reading import read_node
from backtrace_onnx.graph.row_axes import Rows, sources
from tests.cases import session
from tests.graphs import FLOAT, model, node, normal

FLOATS: dict[str, tuple[int, ...]] = {
    "a": (2, 4, 6, 3),
    "b": (2, 4, 3, 5),
    "c": (6, 1),
    "d": (1, 4, 1, 3),
}
ROWS = [
    ("MatMul", ["a", "b"], {}, 2, {0: 2}),
    ("MatMul", ["a", "b"], {}, 3, {1: 3}),
    ("MatMul", ["a", "b"], {}, 1, {0: 1, 1: 1}),
    ("Add", ["a", "c"], {}, 2, {0: 2, 1: 0}),
    ("Mul", ["a", "d"], {}, 2, {0: 2}),
    ("Softmax", ["a"], {}, 2, {0: 2}),
    ("Softmax", ["a"], {"axis": 2}, 3, {0: 3}),
    ("Transpose", ["a"], {"perm": [0, 2, 1, 3]}, 1, {0: 2}),
    ("Neg", ["a"], {}, 2, {0: 2}),
]
REFUSED = [
    ("Softmax", ["a"], {"axis": 2}, 2),
    ("CumSum", ["a", "axis"], {}, 2),
    ("ReduceMean", ["a"], {}, 2),
]


def _found(op_type: str, inputs: list[str], attributes: dict[str, Any], axis: int) -> Any:
    proto = node(op_type, inputs, ["y"], "n", **attributes)
    rank = 4
    types = {name: TensorType(FLOAT, shape) for name, shape in FLOATS.items()}
    types |= {"y": TensorType(FLOAT, (None,) * rank), "axis": TensorType(7, ())}
    read = read_node(proto, {"": 18})
    return sources(Graph((read,), ("a",), ("y",), {}, types, {"": 18}), read, Rows(axis))


@pytest.mark.parametrize(("op_type", "inputs", "attributes", "axis", "want"), ROWS)
def test_rows(
    op_type: str, inputs: list[str], attributes: dict[str, Any], axis: int, want: dict[int, int]
) -> None:
    assert _found(op_type, inputs, attributes, axis) == {i: Rows(a) for i, a in want.items()}
    proto = model(
        [node(op_type, inputs, ["y"], "n", **attributes)],
        {name: (FLOAT, [None] * len(FLOATS[name])) for name in inputs},
        {"y": (FLOAT, [None] * 4)},
    )
    feeds = {name: normal(*FLOATS[name]) for name in inputs}
    whole = session(proto).run(None, feeds)[0]
    few = {x: v.take([1, 2], want[i]) if i in want else v for i, (x, v) in enumerate(feeds.items())}
    part = session(proto).run(None, few)[0]
    np.testing.assert_allclose(part, whole.take([1, 2], axis), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("op_type", "inputs", "attributes", "axis"), REFUSED)
def test_rows_that_depend_on_others(
    op_type: str, inputs: list[str], attributes: dict[str, Any], axis: int
) -> None:
    assert _found(op_type, inputs, attributes, axis) is None


def test_a_reshape_lays_heads_one_under_the_other() -> None:
    types = {"x": TensorType(FLOAT, ("n", 6, "t", 4)), "y": TensorType(FLOAT, ("n", 2, "u", 4))}
    target = np.array([0, 2, -1, 0])
    read = read_node(node("Reshape", ["x", "s"], ["y"], "n"), {"": 18})
    graph = Graph((read,), ("x",), ("y",), {"s": target}, types, {"": 18})
    assert sources(graph, read, Rows(2, 3)) == {0: Rows(2)}
    assert sources(graph, read, Rows(2)) is None
