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


def test_layouts_are_known_again() -> None:
    ops = EmitOps(np.float32, blocks=True)
    ops.in_blocks(Symbol(ops, "x"), (1, 16, 4, 4))
    ops.AveragePool(Symbol(ops, "x"), kernel_shape=[1, 1], strides=[2, 2])
    assert [is_layout(n) for n in ops.nodes] == [True, False]
