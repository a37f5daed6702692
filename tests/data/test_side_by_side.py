"""Rows of several inputs in several files, and arrays that are one for all rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser
from PIL import Image

from backtrace_onnx import ExplainBatches, InputError, explain_dataset
from backtrace_onnx.data.reading import find_files
from backtrace_onnx.errors import RequestError

X = np.arange(20, dtype=np.float32).reshape(5, 4)
Z = np.array([[3.0], [1.0], [4.0], [1.0], [5.0]], np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of a row, a column and a factor that is one for all."""
    monkeypatch.chdir(tmp_path)
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 4] x, float[n, 1] z, float[1] t) => (float[n, 4] y) {
            a = Mul(x, t) y = Add(a, z) }"""
    )
    onnx.save(model, "net.onnx")
    np.save("x.npy", X)
    np.save("t.npy", np.array([2.0], np.float32))
    Path("z.csv").write_text("case,z\n" + "".join(f"c{i},{z}\n" for i, (z,) in enumerate(Z)))
    np.savez("all.npz", x=X, z=Z, t=np.array([2.0], np.float32), y=np.arange(5))
    return tmp_path


def table(*data: str, **options: Any) -> Any:
    return explain_dataset("net.onnx", data, f"out{len(data)}", batch=2, **options).read()


def test_files_side_by_side_are_the_rows_of_one_file(folder: Path) -> None:
    whole = table("all.npz", labels="y", mode="gradient_x_input", target=1)
    apart = table("x=x.npy", "t=t.npy", "z.csv", ids="case", mode="gradient_x_input", target=1)
    assert whole["label/y"].to_pylist() == [0, 1, 2, 3, 4]
    assert apart["id/case"].to_pylist() == ["c0", "c1", "c2", "c3", "c4"]
    assert apart["row/line"].to_pylist() == [1, 2, 3, 4, 5]
    same = [n for n in whole.column_names if n.startswith(("relevance", "ledger", "prediction"))]
    assert len(same) > 5
    for name in same:
        assert apart[name].to_pylist() == whole[name].to_pylist()
    assert np.array(whole["relevance/x"].to_pylist())[:, 1].tolist() == (2 * X[:, 1]).tolist()


def test_several_files_of_an_input_are_behind_one_another(folder: Path) -> None:
    np.save("first.npy", X[:3])
    np.save("rest.npy", X[3:])
    explain = ExplainBatches("net.onnx")
    named = ["x=first.npy", "x=rest.npy", "z.csv", "t=t.npy"]
    (file,) = find_files(named, explain.graph)
    found = list(file.blocks(2))
    assert [block.rows for block in found] == [2, 1, 1, 1]
    explain = ExplainBatches("net.onnx", ids="case")
    parts = [explain.encode(block).feeds for block in found]
    np.testing.assert_array_equal(np.concatenate([part["x"] for part in parts]), X)
    np.testing.assert_array_equal(np.concatenate([part["z"] for part in parts]), Z)


WRONG = [
    (["w=x.npy"], "the model has no input 'w'; it has: x float32"),
    (["x="], "names no file for the input"),
    (["x=none.npy"], r"none\.npy: no such file"),
    (["x=x.npy", "z=short.npy", "t=t.npy"], "as many rows of each input, and there are: x more"),
    (["x=x.npy", "z.csv", "t=t.npy", "t=x.npy"], "is one for all rows, and has a file already"),
    (["x=x.npy", "z.csv", "t=z.csv"], "is one for all rows: give one array"),
    (["x=all.npz", "z.csv", "t=t.npy"], "no input 'x'|no input 'y'|no input 'z'"),
    (["x=x.npy", "z=bad.csv", "t=t.npy"], r"bad\.csv: line 3 has 2 values"),
]


@pytest.mark.parametrize(("data", "words"), WRONG)
def test_what_does_not_lie_side_by_side_is_told(folder: Path, data: list[str], words: str) -> None:
    np.save("short.npy", Z[:3])
    Path("bad.csv").write_text("z\n1\n2,3\n4\n")
    with pytest.raises(InputError, match=words):
        explain_dataset("net.onnx", data, "out", skip_bad=True)


def test_a_run_goes_on_only_with_the_same_arrays_beside(folder: Path) -> None:
    data = ["x=x.npy", "z=z.csv", "t=t.npy"]
    assert explain_dataset("net.onnx", data, "out", ids="case").rows == 5
    np.save("t.npy", np.array([3.0], np.float32))
    with pytest.raises(RequestError, match="another run"):
        explain_dataset("net.onnx", data, "out", ids="case")


def test_a_table_may_name_pictures(tmp_path: Path) -> None:
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 1, 2, 2] image) => (float[n, 4] y) { y = Flatten(image) }"""
    )
    onnx.save(model, tmp_path / "net.onnx")
    image = {"kind": "image", "height": 2, "width": 2, "color": "gray"}
    (tmp_path / "net.sidecar.json").write_text(json.dumps({"inputs": {"image": image}}))
    (tmp_path / "own").mkdir()
    for name, shade in (("a", 10), ("b", 200)):
        Image.new("L", (2, 2), shade).save(tmp_path / "own" / f"{name}.png")
    path = tmp_path / "labels.csv"
    path.write_text("file,kind\nown/b.png,bright\nown/a.png,dark\n")
    explain = ExplainBatches(tmp_path / "net.onnx", labels="kind")
    (block,) = next(iter(find_files(path))).blocks(9)
    assert explain.encode(block).feeds["image"][:, 0, 0, 0].tolist() == [200, 10]
    assert explain.explain(block).table["label/kind"].to_pylist() == ["bright", "dark"]
    path.write_text("file,kind\nown/c.png,bright\nown/a.png,dark\n")
    (block,) = next(iter(find_files(path))).blocks(9)
    found = explain.explain(block, skip_bad=True)
    assert found.table["label/kind"].to_pylist() == ["dark"] and "c.png" in found.bad[0].reason
