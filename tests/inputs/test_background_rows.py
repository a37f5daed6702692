"""Backgrounds: which files of a folder are samples, and what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backtrace_onnx import Explainer, InputError

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
