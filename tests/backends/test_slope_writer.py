"""What is written where slopes are switched off and damped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.slope_writer import is_layout
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.graph.graph import SampleAxis
from backtrace_onnx.model.topology import living
from tests.graphs import FLOAT, model, node, normal

SHAPE = (2, 3, 4, 4)
T, M = normal(*SHAPE, seed=1), normal(*SHAPE, seed=2)


def _written(of: str, *, bounded: bool = True, ledger: bool = False) -> tuple[Counter[str], Any]:
    """Operators that damp what was switched off, and what they compute."""
    ops = EmitOps(np.float32, ledger=ledger)
    ops.samples = np.array(2)
    t, y, m, other = (Symbol(ops, name) for name in ("t", "y", "m", of))
    slopes = ops.switch(y, m, bounded=bounded, of=lambda: other)
    kept, lost = ops.damp(t, slopes, 0.1, SampleAxis(0, alone=True), SHAPE)
    ends = [ops.output(kept, "kept"), *([ops.output(lost, "lost")] if ledger else [])]
    nodes = living(ops.nodes, set(ends))
    made = {"kept": (FLOAT, None), "lost": (onnx.TensorProto.DOUBLE, None)}
    kinds: Any = (dict.fromkeys(("t", "y", "m"), (FLOAT, SHAPE)), {n: made[n] for n in ends})
    proto = model(nodes, *kinds, ops.constants)
    feeds = {"t": T, "y": np.maximum(T, 0), "m": M}
    return Counter(n.op_type for n in nodes), ort.InferenceSession(proto.SerializeToString()).run(
        None, feeds
    )


def _expected() -> Any:
    scale = 0.1 * np.sqrt(np.square(T, dtype=np.float64).mean((1, 2, 3), keepdims=True))
    return np.where(T > 0, M * np.abs(T) / (np.abs(T) + scale), 0)


def test_the_stabiliser_of_what_is_cut_at_0_ends_slopes_itself() -> None:
    operators, (kept,) = _written("t")
    assert not {"HardSigmoid", "Abs"} & operators.keys() and operators["Softsign"] == 1
    np.testing.assert_allclose(kept, _expected(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("of", "bounded"), [("m", True), ("t", False)])
def test_else_both_are_written(of: str, bounded: bool) -> None:
    """Where slopes are of another tensor; and where an infinite one may have to end."""
    operators, (kept,) = _written(of, bounded=bounded)
    assert operators["HardSigmoid" if bounded else "Where"] == 1 and operators["Abs"] == 1
    np.testing.assert_allclose(kept, _expected(), rtol=1e-5, atol=1e-7)


def test_books_tell_what_units_are_worth_less() -> None:
    _, (kept, lost) = _written("t", ledger=True)
    expected = (T * (np.where(T > 0, M, 0) - kept)).sum((1, 2, 3))
    np.testing.assert_allclose(lost, expected, rtol=1e-5)


def test_a_tensor_inside_has_its_whole_slope(tmp_path: Path) -> None:
    """A kept unit reports slopes before its stabiliser, and behind the function that cuts it."""
    nodes = [
        node("Conv", ["x", "V"], ["t"], "conv"),
        node("Relu", ["t"], ["a"], "act"),
        node("GlobalAveragePool", ["a"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("Gemm", ["f", "F"], ["y"], "fc"),
    ]
    weights = {"V": normal(16, 3, 3, 3, seed=1), "F": normal(16, 4, seed=2)}
    made = model(nodes, {"x": (FLOAT, [1, 3, 6, 6])}, {"y": (FLOAT, [1, 4])}, weights)
    explainer, path, x = Explainer(made), tmp_path / "lrp.onnx", normal(1, 3, 6, 6, seed=3)
    explainer.compile(path, mode="lrp", target=1, tensors=["x", "t"])
    names = ["relevance/x", "relevance/t"]
    found = ort.InferenceSession(path).run(names, {"x": x})
    expected = explainer.explain(x, mode="lrp", target=1, keep=["t"]).relevance
    for own, name in zip(found, ("x", "t"), strict=True):
        scale = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(own, expected[name], atol=1e-5 * scale)
    operators = Counter(n.op_type for n in onnx.load(path).graph.node)
    assert operators["HardSigmoid"] == 1  # of the slope that is told of


ENCODER = """<ir_version: 10, opset_import: ["": 18]>
    net (float[1, 6, 8] x) => (float[1, 4] y) <float half = {0.5}, float root = {1.4142135},
        float one = {1.0}, float third = {0.35}, int64[4] apart = {1, 6, 2, 4},
        int64[3] whole = {1, 6, 8}, int64[1] tokens = {1}>
    {
        q = MatMul(x, Q)  k = MatMul(x, K)  v = MatMul(x, V)
        qa = Reshape(q, apart)  qt = Transpose<perm = [0, 2, 1, 3]>(qa)
        ka = Reshape(k, apart)  kt = Transpose<perm = [0, 2, 3, 1]>(ka)
        va = Reshape(v, apart)  vt = Transpose<perm = [0, 2, 1, 3]>(va)
        t = MatMul(qt, kt)  s = Mul(t, third)  p = Softmax<axis = -1>(s)
        o = MatMul(p, vt)  oa = Transpose<perm = [0, 2, 1, 3]>(o)  ow = Reshape(oa, whole)
        h = MatMul(ow, U)  d = Div(h, root)  e = Erf(d)  f = Add(e, one)  g = Mul(h, f)
        a = Mul(g, half)  m = ReduceMean<keepdims = 0>(a, tokens)  y = MatMul(m, W)
    }"""


def _encoder() -> onnx.ModelProto:
    """Attention of two heads, whose scores are scaled, and a Gelu that is written out."""
    proto = onnx.parser.parse_model(ENCODER)
    shapes = {"Q": (8, 8), "K": (8, 8), "V": (8, 8), "U": (8, 16), "W": (16, 4)}
    for seed, (name, shape) in enumerate(shapes.items()):
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(normal(*shape, seed=seed), name)
        )
    return proto


@pytest.mark.parametrize("mode", ["gradient", "lrp", "attnlrp", "cp-lrp"])
def test_files_of_transformers_compute_what_the_other_engine_does(
    mode: str, tmp_path: Path
) -> None:
    explainer, path, x = Explainer(_encoder()), tmp_path / "made.onnx", 3 * normal(1, 6, 8, seed=9)
    explainer.compile(path, mode=mode, target=1)
    found = ort.InferenceSession(path).run(["relevance/x"], {"x": x})[0]
    expected = explainer.explain(x, mode=mode, target=1).relevance["x"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.abs(expected).max()))


def test_a_stabiliser_reads_what_the_model_makes_anyway(tmp_path: Path) -> None:
    """Multiples of its units, of which onnxruntime joins product and factor; Gelu itself, in place
    of what it is over its input; no sum over what attention weighs, but over its mixture."""
    Explainer(_encoder()).compile(tmp_path / "made.onnx", mode="lrp", target=1)
    graph = onnx.load(tmp_path / "made.onnx").graph
    operators = Counter(n.op_type for n in graph.node)
    readers = {name: [n.op_type for n in graph.node if name in n.input] for name in "tgfp"}
    assert operators["Erf"] == 1 and readers["f"] == ["Mul"]  # the model's own
    assert readers["t"] == readers["g"] == ["Mul"]  # what makes their multiples
    assert sorted(readers["p"]) == ["MatMul", "Mul", "Transpose"]  # one product of the Jacobian
    assert operators["GlobalAveragePool"] == 0 and operators["ReduceL2"] > 0


def test_what_was_turned_is_not_turned_back(tmp_path: Path) -> None:
    """The adjoint in the keys, q' m, is that of m' q: else onnxruntime turns q from the start."""
    Explainer(_encoder()).compile(tmp_path / "made.onnx", mode="gradient", target=1)
    nodes = onnx.load(tmp_path / "made.onnx").graph.node
    assert [n.op_type for n in nodes if "qt" in n.input] == ["MatMul", "MatMul"]


def test_with_books_every_slope_is_made(tmp_path: Path) -> None:
    """What units are worth less is told of slopes before the stabiliser."""
    explainer, x = Explainer(_encoder(), engine="onnxruntime"), normal(1, 6, 8, seed=9)
    written, eager = explainer.explain(x, mode="lrp", target=1), Explainer(_encoder())
    expected = eager.explain(x, mode="lrp", target=1)
    for kind in ("inputs", "constants", "unassigned"):
        own, other = (getattr(e.ledger.total(), kind) for e in (written, expected))
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)


def test_layouts_are_known_again() -> None:
    ops = EmitOps(np.float32, blocks=True)
    ops.in_blocks(Symbol(ops, "x"), (1, 16, 4, 4))
    ops.AveragePool(Symbol(ops, "x"), kernel_shape=[1, 1], strides=[2, 2])
    assert [is_layout(n) for n in ops.nodes] == [True, False]
