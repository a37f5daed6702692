"""Relevance of padded and cropped pictures, drawn on the pictures themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import shown_frame
from backtrace_onnx.report.pictures import plot, plot_relevance
from backtrace_onnx.report.ranking import rank
from tests.report.made import explanation

PICTURE = Image.fromarray(np.random.default_rng(5).integers(0, 255, (100, 200, 3), np.uint8))


def subject(relevance: Any, **keys: Any) -> ExplainedSample:
    plain: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "scale": 1.0, "resize_to": 32}
    entry = ImageInput(32, 32, "rgb", "NCHW", **{"resize": "letterbox", **plain, **keys})
    x = entry.encode(PICTURE)
    made = explanation({"x": x}, {"x": np.broadcast_to(relevance, x.shape).astype(float)})
    return ExplainedSample(made, sidecar=Sidecar(Path("s"), {"x": entry}), originals={"x": PICTURE})


def test_relevance_is_told_in_the_pictures_own_pixels_and_padding_apart() -> None:
    relevance = np.zeros((32, 32))
    relevance[8, 0] = 2  # the picture's first pixel: rows 8 to 24 of the input show it
    relevance[0, 0] = -1
    parts = rank(subject(relevance))
    assert (str(parts[0]), parts[0].relevance) == ("rows 0-12, columns 0-25", 6)
    assert (str(parts[1]), parts[1].relevance, parts[1].box) == ("padding", -3, None)
    assert sum(part.relevance for part in parts) == 3
    assert max(part.box[2] for part in parts if part.box) == 100
    assert max(part.box[3] for part in parts if part.box) == 200


def test_the_picture_itself_is_drawn() -> None:
    frame = shown_frame(subject(np.ones((32, 32))), "x")
    np.testing.assert_array_equal(frame.picture, np.asarray(PICTURE))
    assert frame.cut(np.ones((32, 32))).shape == (16, 32)
    assert frame.padding(np.ones((32, 32))) == 512
    assert frame.back((0, 8, 32, 24)) == (0, 0, 200, 100)


def test_a_crop_is_drawn_where_it_was_taken(tmp_path: Path) -> None:
    cropped = subject(np.ones((32, 32)), resize="crop")
    frame = shown_frame(cropped, "x")
    assert frame.padding(np.ones((32, 32))) is None
    assert frame.shown == pytest.approx((49.5, 149.5, 99.5, -0.5))
    plot_relevance(cropped, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        shown = np.asarray(image.convert("RGB"), np.int64)
    shown = shown[: int(0.75 * len(shown)), shown.shape[1] // 2 :]
    orange = shown[..., 0] > shown[..., 2] + 60
    columns = np.flatnonzero(orange.mean(axis=0) > 0.3) / shown.shape[1]
    assert 0.2 < columns.min() < 0.35 and 0.65 < columns.max() < 0.8


def test_saved_explanations_take_the_picture(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "p.png")
    made = subject(np.ones((32, 32)))
    plot(made.explanation, tmp_path / "o.png", sidecar=made.sidecar, picture=tmp_path / "p.png")
    plot(made.explanation, tmp_path / "i.png", sidecar=made.sidecar)
    with Image.open(tmp_path / "o.png") as with_it, Image.open(tmp_path / "i.png") as without:
        assert with_it.height < without.height
    with pytest.raises(RequestError, match="an original goes with one input"):
        plot(made.explanation, tmp_path / "n.png", picture=tmp_path / "p.png")
