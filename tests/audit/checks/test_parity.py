"""What is explained computes what the file computes, and what its exporter said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from backtrace_onnx.audit.checks import parity
from backtrace_onnx.errors import InputError
from tests.audit.audited import linear, one, subject, write_model, write_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path, 30)
    write_model(tmp_path, linear())
    return tmp_path


def found(folder: Path, **settings: Any) -> Any:
    return one("forward-parity", folder / "net.onnx", folder / "rows.csv", **settings)


def test_what_is_explained_is_what_runs(folder: Path) -> None:
    made = found(folder)
    assert made.status == "passed" and set(made.evidence) == {"rows", "as_explained"}


def test_what_is_explained_and_computes_something_else_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = parity.tensor_values

    def other(*asked: Any) -> Any:
        return {name: x * 1.01 for name, x in real(*asked).items()}

    monkeypatch.setattr(parity, "tensor_values", other)
    made = found(folder)
    assert made.status == "failed" and made.value == pytest.approx(0.01, rel=1e-4)


def test_outputs_of_the_exporter_are_held_to(folder: Path) -> None:
    """Those of onnx's own interpreter, of the first rows."""
    x = subject(folder / "net.onnx", folder / "rows.csv").data.feeds["x"][:7]
    (y,) = ReferenceEvaluator(str(folder / "net.onnx")).run(None, {"x": x})
    np.savez(folder / "y.npz", y=y)
    made = found(folder, reference=str(folder / "y.npz"))
    assert made.status == "passed" and made.evidence["reference"] < 1e-6
    y[3, 1] += 0.1
    np.save(folder / "y.npy", y)
    made = found(folder, reference=str(folder / "y.npy"))
    wanted = 0.1 / np.abs(y).max()
    assert made.status == "failed" and made.value == pytest.approx(wanted, rel=1e-3)
    assert "y.npy differ" in made.text


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": np.ones((2, 2))}, "holds no output of the model .y.: z"),
        ({"y": np.ones((2, 3))}, r"y is \(2, 3\), the model's \(2, 2\)"),
        ({"y": np.ones((99, 2))}, "of 99 rows, and the data have 30"),
        ({"y": np.full((2, 2), np.nan)}, ""),
    ],
)
def test_a_reference_that_does_not_fit_is_named(folder: Path, arrays: Any, words: str) -> None:
    np.savez(folder / "y.npz", **arrays)
    if not words:
        assert found(folder, reference=str(folder / "y.npz")).value == float("inf")
        return
    with pytest.raises(InputError, match=words):
        found(folder, reference=str(folder / "y.npz"))


def test_a_tensor_inside_is_no_output(folder: Path) -> None:
    kept = linear().partition("|")[2]
    model = write_model(folder, f"h = MatMul(x, w) y = Relu(h)|{kept}", "inner")
    made = one("forward-parity", model, folder / "rows.csv", output="h")
    assert made.status == "skipped" and "is no output of the file" in made.text
