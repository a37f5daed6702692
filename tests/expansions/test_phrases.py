"""Phrases of expansions: what they make, and what is asked of a node's inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.phrases import TextOps, named
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.node_reading import read_node
from backtrace_onnx.ops.op import Op
from tests.expansions.checks import numbers
from tests.graphs import FLOAT

X = numbers(2, 3, 4)


def made(text: Callable[[TextOps, Any], Any]) -> Any:
    """What a text makes of X, by the standard's own evaluator."""
    e = TextOps(np.float32, prefix="t")
    e.output(text(e, e.Identity(e.symbol(X))), "y")
    shapeless = helper.make_tensor_value_info("y", FLOAT, None)
    graph = helper.make_graph(e.nodes, "t", [], [shapeless])
    graph.initializer.extend(
        helper.make_tensor(
            name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape, x.tobytes(), raw=True
        )
        for name, x in e.constants.items()
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return ReferenceEvaluator(proto).run(None, {})[0]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (lambda e, x: e.added(None, x, None, x), 2 * X),
        (lambda e, x: e.swish(x, 2.0), X / (1 + np.exp(-2 * X))),
        (lambda e, x: e.times(x, 3.0) - e.times(x, 1.0), 2 * X),
        (lambda e, x: e.halves(x, 0)[1], X[1:]),
        (lambda e, x: e.laid(x, e.Shape(x, end=1), -1, 2), X.reshape(2, 6, 2)),
        (lambda e, x: e.places(e.length(x, 1)), np.arange(3)),
        (lambda e, x: e.length(x), np.int64(4)),
        (lambda e, x: e.channels_last(3, x, lambda c: e.CumSum(c, np.int64(1))), X.cumsum(2)),
        (lambda e, x: e.int32(x), X.astype(np.int32)),
    ],
)
def test_phrases(text: Callable[[TextOps, Any], Any], answer: Any) -> None:
    np.testing.assert_allclose(made(text), answer, rtol=1e-6)


def test_inputs_left_out_at_the_end_are_not_named() -> None:
    e = TextOps(np.float32, prefix="t")
    e.Clip(X, None, None)
    e.Clip(X, None, np.float32(1))
    assert [[bool(name) for name in node.input] for node in e.nodes] == [
        [True],
        [True, False, True],
    ]


def test_inputs_by_name() -> None:
    x = named("a b c", (1, None))
    assert (x.a, x.b, x.c) == (1, None, None)
    assert named("a", (1, None)).a == 1
    with pytest.raises(RuleError, match="3 inputs, of which only the first 2"):
        named("a b", (1, 2, 3))


def test_what_is_asked_of_inputs() -> None:
    node = read_node(helper.make_node("Acme", ["x", "w", "", "z"], ["y"], alpha=2.0), {"": 18})
    types = {"x": TensorType(FLOAT, ("n", 4)), "w": TensorType(FLOAT, (3,))}
    op = Op(node, Graph((node,), ("x", "z"), ("y",), {"w": X[0, :, 0]}, types, {"": 18}), {"x"})
    assert (op.size(0), op.size(1, 0), op.known_size(0, 0), op.known_size(3)) == (4, 3, None, None)
    assert op.fixed_or_none(2) is None and op.fixed(1) is op.fixed_or_none(1)
    assert op.attributes("alpha", "beta") == {"alpha": 2.0, "beta": None}
    with pytest.raises(RuleError, match="shape of its input 'x' is not known"):
        op.size(0, 0)
    with pytest.raises(RuleError, match="input 'z' is computed while the model runs"):
        op.fixed_or_none(3)
    with pytest.raises(RuleError, match="input 2 is computed"):
        op.fixed(2)
