"""Layer by layer: the tensor at which reasons begin to differ is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from backtrace_onnx.audit import compare
from backtrace_onnx.audit.check import Finding
from tests.audit.audited import write_model, write_rows

RNG = np.random.default_rng(1)
FIRST, SECOND, LAST = (RNG.normal(size=shape) for shape in ((4, 6), (6, 6), (6, 2)))


def network(first: Any = FIRST, second: Any = SECOND, names: str = "abcd") -> str:
    """Three products and two Relus, whose tensors have these names."""

    def kept(name: str, array: Any) -> str:
        values = ", ".join(map(str, np.asarray(array, np.float32).ravel().tolist()))
        return f"float[{', '.join(map(str, array.shape))}] {name} = {{{values}}}"

    a, b, c, d = names
    nodes = (
        f"{a} = MatMul(x, w1) {b} = Relu({a}) {c} = MatMul({b}, w2) {d} = Relu({c}) "
        f"y = MatMul({d}, w3)"
    )
    return f"{nodes}|{kept('w1', first)}, {kept('w2', second)}, {kept('w3', LAST)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path, 60)
    write_model(tmp_path, network(), "old")
    return tmp_path


def compared(folder: Path, new: Path, **settings: Any) -> Finding:
    rows, settings = str(folder / "rows.csv"), {"mode": "lrp", **settings}
    report = compare(folder / "old.onnx", new, rows, settings=settings)
    return next(f for f in report.findings if f.check.id == "layer-drift")


def cosines(found: Finding) -> dict[str, float]:
    return {layer["tensor"]: layer["cosine"] for layer in found.evidence["layers"]}


def test_the_layer_is_where_weights_were_changed(folder: Path) -> None:
    """Of the first product: all behind it has other values, too. Of none: nothing differs."""
    other = np.random.default_rng(2).normal(size=FIRST.shape)
    found = compared(folder, write_model(folder, network(first=other), "new"))
    told = cosines(found)
    assert list(told) == ["y", "d", "c", "b", "a", "x"]
    assert found.status == "failed" and told["y"] == pytest.approx(1)
    assert found.value == pytest.approx(min(told.values()), abs=1e-6)
    first = next(tensor for tensor, cosine in told.items() if cosine < 0.9)
    assert f"{first!r} (cosine" in found.text
    same = compared(folder, write_model(folder, network(), "same"))
    assert same.status == "passed" and set(same.evidence) == {"rows", "layers"}


def test_only_the_input_differs_where_columns_are_weighed_otherwise(folder: Path) -> None:
    """Column b is a: what the one is given more and the other less changes nothing behind."""
    other = FIRST + np.array([[3.0], [-3.0], [0.0], [0.0]])
    found = compared(folder, write_model(folder, network(first=other), "new"))
    told = cosines(found)
    assert told["a"] == pytest.approx(1, abs=1e-4) and told["x"] < 0.9
    assert "begin to differ at input 'x'" in found.text
    assert set(found.evidence["units_gained"]) == {"before", "now"}


def test_tensors_of_other_names_are_matched_in_order(folder: Path) -> None:
    found = compared(folder, write_model(folder, network(names="efgh"), "new"))
    assert found.status == "passed"
    pairs = {layer["tensor"]: layer.get("before") for layer in found.evidence["layers"]}
    assert pairs == {"y": None, "h": "d", "g": "c", "f": "b", "e": "a", "x": None}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_a_quantised_model_is_compared(folder: Path, form: Any) -> None:
    rows = np.loadtxt(folder / "rows.csv", delimiter=",", skiprows=1, usecols=range(4))

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter([{"x": rows.astype(np.float32)}])

        def get_next(self) -> Any:
            return next(self.left, None)

    quantize_static(folder / "old.onnx", folder / "int8.onnx", Rows(), quant_format=form)
    (folder / "int8.sidecar.json").write_bytes((folder / "old.sidecar.json").read_bytes())
    report = compare(
        folder / "old.onnx", folder / "int8.onnx", str(folder / "rows.csv"), settings={}
    )
    found = {finding.check.id: finding for finding in report.findings}
    assert not report.broken and found["answers-kept"].value > 0.9
    layers = found["layer-drift"].evidence["layers"]
    assert layers[0]["cosine"] == pytest.approx(1) and layers[-1]["tensor"] == "x"
    assert len(layers) >= 4


def test_models_without_anything_in_common(folder: Path) -> None:
    kept = ", ".join(["1.0, -1.0"] * 4)
    new = write_model(folder, f"y = Gemm(x, v)|float[4, 2] v = {{{kept}}}", "new")
    (folder / "one.txt").write_text("")
    found = compared(folder, new)
    assert found.status == "skipped" and "no inner tensors in common" in found.text
