"""Functions that are their input times something: found, and shared by that from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import parser

from backtrace_onnx import Explainer
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.structures.factors import factors_of

X = np.array([[-2, -0.3, 0, 1e-4, 0.5, 3]], np.float32)
SIGMOID = "s = Sigmoid(x) y = Mul(x, s)"
ERF = """c = Constant<value_float=1.4142135>() d = Div(x, c) e = Erf(d)
o = Constant<value_float=1.0>() f = Add(e, o) g = Mul(f, x)
h = Constant<value_float=0.5>() y = Mul(h, g)"""
TANH = """t = Constant<value_float=3.0>() z = Pow(x, t) c = Constant<value_float=0.044715>()
d = Mul(c, z) e = Add(x, d) k = Constant<value_float=0.7978845>() u = Mul(e, k) v = Tanh(u)
o = Constant<value_float=1.0>() w = Add(v, o) h = Constant<value_float=0.5>() b = Mul(h, x)
y = Mul(b, w)"""
NATIVE = ("Gelu(x)", 'Gelu<approximate="tanh">(x)', "Mish(x)", "HardSwish(x)")


def _parsed(body: str) -> Any:
    header = '<ir_version: 10, opset_import: ["" : 20]>'
    return parser.parse_model(f"{header} g (float[n, 6] x) => (float[n, 6] y) {{ {body} }}")


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("body", [*(f"y = {call}" for call in NATIVE), SIGMOID, ERF, TANH])
def test_x_takes_the_whole_of_what_is_0_at_0(body: str, engine: Any) -> None:
    """The secant from 0 times x is the function's value, near 0 too: none is constant there."""
    made = _parsed(body)
    (y,) = ort.InferenceSession(made.SerializeToString()).run(None, {"x": X})
    ones = np.ones((1, 6), np.float32)
    found = Explainer(made, engine=engine).explain(X, mode="attnlrp", start=ones)
    np.testing.assert_allclose(found.relevance["x"], y, rtol=2e-6, atol=1e-9)
    np.testing.assert_allclose(found.ledger.total().constants, 0, atol=1e-9)


def _nodes(*texts: str) -> list[Node]:
    made = []
    for text in texts:
        op_type, *inputs, output = text.split()
        made.append(Node(output, "", op_type, 20, tuple(inputs), (output,)))
    return made


@pytest.mark.parametrize(
    ("nodes", "factors"),
    [
        (("Sigmoid x s", "Mul s x y"), ("s",)),
        (("Mul two x z", "Tanh x t", "Mul z t y"), ("two", "t")),
        (("Div x two z", "Mul z x y"), ("z",)),
        (("Mul x x y",), ()),  # no other factor is known
        (("Log x s", "Mul s x y"), ()),  # nothing times something infinite
        (("Div x x s", "Mul s x y"), ()),
        (("Sigmoid x s", "Add s x y"), ()),
        (("Sigmoid x s", "Mul s x z", "Tanh z y"), ()),
    ],
)
def test_factors_are_read_off_the_nodes(nodes: tuple[str, ...], factors: tuple[str, ...]) -> None:
    assert factors_of("x", _nodes(*nodes), {"two": np.array(2.0)}) == factors
