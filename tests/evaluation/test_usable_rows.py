"""What stands in for parts of a row: rows that the model answers to, and values that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import evaluate, metrics
from backtrace_onnx.errors import RowError
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

pytest.importorskip("scipy")
W = normal(4, 3, seed=5)
X = normal(12, 4, seed=6)
SMALL: dict[str, Any] = {"modes": ("gradient_x_input",), "metrics": ("abpc",), "sets": 20}


def test_a_row_without_an_answer_stands_in_for_none(tmp_path: Path) -> None:
    """One answer that is NaN took the numbers of all rows with it."""
    nodes = [
        node("MatMul", ["x", "w"], ["m"], "m"),
        node("ReduceSum", ["x", "one"], ["s"], "sum"),
        node("Sqrt", ["s"], ["q"], "root"),
        node("Add", ["m", "q"], ["y"], "add"),
    ]
    constants = {"w": W, "one": np.array([1])}
    made = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}, constants)
    onnx.save(made, tmp_path / "m.onnx")
    x = np.abs(X)
    x[3] *= -1
    np.save(tmp_path / "x.npy", x)
    found = evaluate(tmp_path / "m.onnx", tmp_path / "x.npy", rows=None, **SMALL)
    (mode,) = found.modes
    assert sum(mode.errors[""].values()) == 1 and "abpc" not in mode.errors
    np.save(tmp_path / "x.npy", np.delete(x, 3, 0))
    wanted = evaluate(tmp_path / "m.onnx", tmp_path / "x.npy", rows=None, **SMALL).modes[0]
    assert mode.estimates == wanted.estimates


def test_a_row_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    x = X.copy()
    x[3, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    asked = (tmp_path / "m.onnx", tmp_path / "x.npy")
    with pytest.raises(RowError, match=r"x\.npy: row 4: input 'x' holds NaN"):
        evaluate(*asked, rows=None, **SMALL)
    found = evaluate(*asked, rows=None, skip_bad=True, **SMALL)
    estimate = found.modes[0].estimates["abpc"]
    assert estimate is not None and estimate.count == 11 and not found.modes[0].errors


def test_the_mean_is_that_of_values_that_are_there() -> None:
    rows = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, np.nan]])
    x, w = np.array([[4.0, 4.0]]), np.array([[2.0], [1.0]])
    how: dict[str, Any] = {"replace": "mean", "background": rows, "relevance": x}
    found = metrics.completeness(lambda x: x @ w, x, target=0, **how)
    np.testing.assert_allclose(found, 8 - (12 - (2 * 2 + 5)))


def test_numbers_beside_ids_are_taken_away_too(tmp_path: Path) -> None:
    """Categories beside columns of numbers are no text."""
    nodes = [
        node("Gather", ["T", "cat"], ["e"], "lookup"),
        node("ReduceSum", ["e", "one"], ["c"], "sum", keepdims=0),
        node("MatMul", ["num", "w"], ["n"], "fc"),
        node("Add", ["n", "c"], ["y"], "add"),
    ]
    inputs = {"num": (FLOAT, ["N", 4]), "cat": (INT64, ["N", 2])}
    constants = {"T": normal(5, 3, seed=1), "w": W, "one": np.array([1])}
    onnx.save(model(nodes, inputs, {"y": (FLOAT, ["N", 3])}, constants), tmp_path / "m.onnx")
    cat = np.random.default_rng(0).integers(0, 5, (12, 2))
    np.savez(tmp_path / "x.npz", num=X, cat=cat)
    found = evaluate(tmp_path / "m.onnx", tmp_path / "x.npz", rows=None, **SMALL)
    assert "parts are columns; what takes their place is other rows" in found.notes
    only = {name: value for name, value in inputs.items() if name == "cat"}
    onnx.save(model(nodes[:2], only, {"c": (FLOAT, ["N", 3])}, constants), tmp_path / "ids.onnx")
    np.savez(tmp_path / "ids.npz", cat=cat)
    found = evaluate(tmp_path / "ids.onnx", tmp_path / "ids.npz", rows=None, **SMALL)
    assert "parts are tokens; what takes their place is 0" in found.notes


def test_what_reading_tells_is_told_once(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    lines = ["a, b,c,d,kind", *(",".join(map(str, [*row, "k"])) for row in X.tolist())]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    how: dict[str, Any] = {"modes": "lrp", "metrics": "complexity", "groups": "kind", "rows": 5}
    found = evaluate(tmp_path / "m.onnx", tmp_path / "x.csv", **how, out=tmp_path / "out")
    path = tmp_path / "x.csv"
    own = [note for note in found.notes if str(path) in note]
    assert own == [
        f"{path}: columns are called without the blanks of ' b'",
        f"columns were taken in the order of {path}: a, b, c, d",
    ]
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["notes"] == list(found.notes)
    again = evaluate(tmp_path / "m.onnx", tmp_path / "x.csv", **how, out=tmp_path / "out")
    assert again.kept == 5 and again.notes == found.notes
