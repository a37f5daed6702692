"""Functions that are written out in several nodes have the derivative of one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser

from backtrace_onnx import Explainer
from tests.graphs import normal

HEAD = """<ir_version: 10, opset_import: ["": 18]>
    net (float[n, 5] x) => (float[n, 5] y) <float root = {1.4142135}, float one = {1.0},
        float half = {0.5}, float turned = {0.70710678}, float three = {3.0}, float steep = {1.3},
        float[5] several = {1.0, 1.0, 1.0, 1.0, 1.0}>"""
TORCH = "u = Div(x, root)  p = Erf(u)  q = Add(p, one)  t = Mul(x, q)  y = Mul(t, half)"
WRITTEN = (
    TORCH,
    "u = Mul(x, turned)  p = Erf(u)  q = Add(one, p)  w = Mul(q, half)  y = Mul(x, w)",
    "z = Mul(x, half)  u = Div(x, root)  p = Erf(u)  q = Add(p, one)  y = Mul(z, q)",
    "u = Div(x, root)  p = Erf(u)  q = Add(p, one)  t = Mul(x, q)  y = Mul(t, three)",
)
OTHERS = (
    "u = Mul(x, steep)  p = Erf(u)  q = Add(p, one)  t = Mul(x, q)  y = Mul(t, half)",
    "u = Div(x, root)  p = Erf(u)  q = Add(p, several)  t = Mul(x, q)  y = Mul(t, half)",
    "u = Div(x, root)  p = Erf(u)  q = Sub(p, one)  t = Mul(x, q)  y = Mul(t, half)",
)


def _slopes(text: str, folder: Path) -> Counter[str]:
    """Operators of a file that returns the slope of a function, which is that of differences."""
    proto = parser.parse_model(f"{HEAD} {{ {text} }}")
    explainer = Explainer(proto)
    x, path = 2 * normal(3, 5, seed=1), folder / "slope.onnx"
    explainer.compile(path, mode="gradient", start=True)
    start = normal(3, 5, seed=2)
    plain = ort.InferenceSession(proto.SerializeToString())
    step = np.float32(1e-2)
    ends = (plain.run(["y"], {"x": x + side * step})[0] for side in (1, -1))
    up, down = ends
    expected = start * (up.astype(np.float64) - down) / (2 * step)
    found = ort.InferenceSession(path).run(["relevance/x"], {"x": x, "start": start})[0]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    eager = explainer.explain(x, mode="gradient", start=start).relevance["x"]
    np.testing.assert_allclose(found, eager, rtol=1e-5, atol=1e-6)
    return Counter(n.op_type for n in onnx.load(path).graph.node)


@pytest.mark.parametrize("text", WRITTEN)
def test_x_times_the_normal_distribution_is_known(text: str, tmp_path: Path) -> None:
    operators = _slopes(text, tmp_path)
    assert operators["Erf"] == 2 and not operators["Neg"]  # of the chain rule, exp(-u^2)


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_not_has_the_slopes_of_its_nodes(text: str, tmp_path: Path) -> None:
    operators = _slopes(text, tmp_path)
    assert operators["Neg"] >= 1
    assert not operators["ReduceSum"]  # of tensors that are all of one shape
