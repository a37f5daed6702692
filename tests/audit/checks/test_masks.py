"""Masks: relevance outside of what answers should rest on is counted, and tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser
from PIL import Image

from backtrace_onnx.audit.checks.masks import read_mask
from backtrace_onnx.errors import InputError
from tests.audit.audited import linear, one, subject, write_model, write_rows

SHAPE = (60, 1, 8, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures; one model that reads the upper half, and one that reads a corner below."""
    x = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    for name, place in (("upper", np.s_[:4]), ("corner", np.s_[6:])):
        w = np.zeros((8, 8, 2), np.float32)
        w[place] = [1, -1]
        values = ", ".join(map(str, w.ravel().tolist()))
        text = (
            "<ir_version: 10, opset_import: ['': 18]> g (float[n, 1, 8, 8] x) => (float[n, 2] y)"
            f"<float[64, 2] w = {{{values}}}> {{ f = Flatten(x) y = MatMul(f, w) }}"
        ).replace("'", '"')
        onnx.save(parser.parse_model(text), tmp_path / f"{name}.onnx")
        image = {"kind": "image", "height": 8, "width": 8, "color": "gray"}
        about = {"inputs": {"x": image}, "outputs": {"y": {"labels": ["no", "yes"]}}}
        (tmp_path / f"{name}.sidecar.json").write_text(json.dumps(about))
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255
    np.save(tmp_path / "mask.npy", mask)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def found(folder: Path, model: str, mask: str) -> Any:
    file = str(folder / mask)
    return one("relevance-outside-mask", folder / model, folder / "x.npy", mask=file)


@pytest.mark.parametrize("mask", ["mask.npy", "mask.png"])
def test_what_a_model_reads_outside_is_found_and_confirmed(folder: Path, mask: str) -> None:
    inside = found(folder, "upper.onnx", mask)
    assert inside.status == "passed" and inside.value == pytest.approx(0, abs=1e-6)
    assert inside.confirmed is False  # what lies outside is replaced, and nothing moves
    outside = found(folder, "corner.onnx", mask)
    assert (outside.status, outside.confirmed) == ("failed", True)
    assert outside.value == pytest.approx(1) and outside.evidence["area_outside"] == 0.5


def test_a_mask_of_each_row(folder: Path) -> None:
    masks = np.zeros((60, 8, 8), bool)
    masks[:30, :4], masks[30:, 4:] = True, True
    np.save(folder / "each.npy", masks)
    assert found(folder, "upper.onnx", "each.npy").value == pytest.approx(0.5)


def test_masks_that_do_not_fit_are_named(folder: Path) -> None:
    np.save(folder / "small.npy", np.ones((4, 4)))
    with pytest.raises(InputError, match=r"mask of shape \(4, 4\) does not fit 'x'"):
        found(folder, "upper.onnx", "small.npy")
    with pytest.raises(InputError, match=r"none\.npy"):
        found(folder, "upper.onnx", "none.npy")
    made = one("relevance-outside-mask", folder / "upper.onnx", folder / "x.npy")
    assert (made.status, made.text) == ("skipped", "the settings name no mask")


def test_columns_have_masks_of_arrays_only(folder: Path) -> None:
    model, rows = write_model(folder, linear()), write_rows(folder, 20)
    np.savez(folder / "columns.npz", x=np.array([True, True, True, False]))
    own = subject(model, rows)
    name, inside = read_mask(folder / "columns.npz", own)
    assert name == "x" and inside.shape == (20, 4) and not inside[:, 3].any()
    with pytest.raises(InputError, match=r"is no \.npy or \.npz file, and 'x' no picture"):
        read_mask(folder / "mask.png", own)
