"""Backgrounds: which files of a folder are samples, and what they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import backtrace_onnx as bt
from backtrace_onnx import Explainer, InputError
from tests.graphs import mlp, normal

MODEL = "models/mnist_cnn.onnx"


def test_what_lies_beside_the_samples_of_a_folder_is_left_out_and_named(tmp_path: Path) -> None:
    explainer = Explainer(MODEL)
    x = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    for i in range(2):
        Image.new("L", (28, 28), 90 * i + 20).save(tmp_path / f"{i}.png")
    asked = {"mode": "deeplift", "baseline": "rows", "sidecar": "models/mnist_cnn.sidecar.json"}
    wanted = explainer.explain(x, **asked, background=tmp_path)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "readme.txt").write_text("pictures of nothing\n")
    found = explainer.explain(x, **asked, background=tmp_path)
    np.testing.assert_array_equal(found.relevance["image"], wanted.relevance["image"])
    assert any("2 rows of the background, in the mean" in note.text for note in wanted.notes)
    said = "2 rows of the background (without .DS_Store, readme.txt), in the mean"
    assert any(said in note.text for note in found.notes)
    for picture in tmp_path.glob("*.png"):
        picture.unlink()
    with pytest.raises(InputError, match="the folder holds no samples"):
        explainer.explain(x, **asked, background=tmp_path)


def test_what_reading_a_background_tells_is_a_note(run: Any, tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    x = normal(3, 4)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "rows.npz", people=x)
    for option in ("--background", "--baseline"):
        given = ("explain", tmp_path / "m.onnx", tmp_path / "x.npy", option, tmp_path / "rows.npz")
        code, out, _ = run(*given, "--no-check", "--json")
        said = f"{tmp_path / 'rows.npz'}: array 'people' is taken for 'x', the only input"
        assert code == 0 and said in json.loads(out)["samples"][0]["notes"]


def test_compile_prints_what_reading_a_background_tells(run: Any, tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    np.savez(tmp_path / "rows.npz", people=normal(3, 4))
    given = ("--mode", "expected_gradients", "--background", tmp_path / "rows.npz")
    code, out, err = run("compile", tmp_path / "m.onnx", "-o", tmp_path / "e.onnx", *given)
    assert (code, err) == (0, "")
    assert "array 'people' is taken for 'x', the only input" in " ".join(out.split())


def test_rows_of_data_sets_and_networks_have_the_notes_of_a_background(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    np.savez(tmp_path / "rows.npz", people=normal(3, 4))
    path = str(tmp_path / "rows.npz")
    said = f"{path}: array 'people' is taken for 'x', the only input"
    how = {"mode": "expected_gradients", "background": path}
    made = Explainer(tmp_path / "m.onnx").explain(normal(2, 4), **how)
    assert [note.text for note in made.notes].count(said) == 1
    table = bt.ExplainBatches(tmp_path / "m.onnx", **how)({"x": normal(2, 4)})
    assert all(said in row for row in table["notes"].to_pylist())
    found = bt.network_analysis(tmp_path / "m.onnx", {"x": normal(2, 4)}, **how)
    assert said in found.notes
