"""Tensors inside of what is read as one may be kept, and let relevance through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx import Explainer
from tests.graphs import FLOAT, model, node, normal

X = normal(3, 4, seed=5)
ENGINES = ["numba", "onnxruntime"]


def _gelu() -> Any:
    """A linear layer with its bias apart, a GELU in primitives, and a linear layer."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "in"),
        node("Add", ["h", "b"], ["z"], "bias"),
        node("Div", ["z", "root"], ["scaled"], "scale"),
        node("Erf", ["scaled"], ["erf"], "erf"),
        node("Add", ["erf", "one"], ["more"], "shift"),
        node("Mul", ["z", "more"], ["twice"], "gate"),
        node("Mul", ["twice", "half"], ["a"], "halve"),
        node("MatMul", ["a", "v"], ["y"], "out"),
    ]
    numbers = {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    weights = {"w": normal(4, 5), "b": normal(5, seed=1), "v": normal(5, 3, seed=2), **numbers}
    x, y = (FLOAT, ["n", 4]), (FLOAT, ["n", 3])
    return model(nodes, {"x": x}, {"y": y}, weights)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("tensor", ["h", "z", "scaled", "erf", "more", "twice", "a"])
def test_the_slope_of_any_tensor_is_what_a_change_does(tensor: str, engine: Any) -> None:
    """Central differences, the tensor replaced."""
    explainer = Explainer(_gelu(), engine=engine)
    made = explainer.explain(X, mode="gradient", target=1, keep=[tensor])
    assert made.slopes[tensor].shape == (3, 5)
    way, step = normal(3, 5, seed=9), 1e-2
    ends = [
        bt.patch(explainer, X, {tensor: lambda own, s=sign: own + s * step * way})["y"]
        for sign in (1, -1)
    ]
    moved = (ends[0] - ends[1])[:, 1] / (2 * step)
    np.testing.assert_allclose((made.slopes[tensor] * way).sum(1), moved, rtol=2e-2, atol=1e-3)
    whole = explainer.explain(X, mode="gradient", target=1).relevance["x"]
    np.testing.assert_allclose(made.relevance["x"], whole, rtol=1e-4, atol=1e-6)


def test_a_note_says_what_is_read_in_parts() -> None:
    explainer = Explainer(_gelu())
    made = explainer.explain(X, mode="lrp", keep=["erf"])
    (note,) = (note.text for note in made.notes if "read in parts" in note.text)
    assert "'erf' lies inside of what is read as one operator" in note
    for keep in (["a"], "all", "inputs"):
        plain = explainer.explain(X, mode="lrp", keep=keep)
        assert not any("read in parts" in note.text for note in plain.notes)


def test_relevance_is_value_times_slope() -> None:
    explainer = Explainer(_gelu())
    own = bt.tensor_values(explainer, X, ["h", "a"])
    for mode in ("gradient_x_input", "lrp", "attnlrp"):
        made = explainer.explain(X, mode=mode, keep=["h", "a"])
        for name in ("h", "a"):
            near = {"rtol": 1e-5, "atol": 1e-6}
            np.testing.assert_allclose(made.relevance[name], own[name] * made.slopes[name], **near)
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        assert not explainer.explain(X, mode=mode, keep=["h", "a"]).slopes


@pytest.mark.parametrize("engine", ENGINES)
def test_relevance_passes_parts_of_such_tensors(engine: Any) -> None:
    explainer = Explainer(_gelu(), engine=engine)
    whole = explainer.explain(X, mode="gradient", target=0, keep=["h"]).relevance["x"]
    parts = [
        explainer.explain(X, mode="gradient", target=0, through={"h": part}).relevance["x"]
        for part in ([0, 1], [2, 3, 4])
    ]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-4, atol=1e-5)


def test_a_file_returns_what_explaining_keeps(tmp_path: Path) -> None:
    explainer = Explainer(_gelu())
    explainer.compile(tmp_path / "m.onnx", mode="lrp", tensors=["erf", "x"], target=1)
    session = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    made = explainer.explain(X, mode="lrp", keep=["erf"], target=1)
    for name in ("erf", "x"):
        (found,) = session.run([f"relevance/{name}"], {"x": X})
        np.testing.assert_allclose(found, made.relevance[name], rtol=1e-4, atol=1e-6)
