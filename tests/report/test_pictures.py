"""Pictures: every kind of input gets one, and colours mean what the legend says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backtrace_onnx.errors import RequestError
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import shown_picture, smoothed
from backtrace_onnx.report.picture_style import Scale, colours, styled
from backtrace_onnx.report.pictures import plot, plot_layers
from tests.report.made import explanation

SHAPES = {
    "vector": (1, 8),
    "scalar": (1,),
    "signal": (1, 120),
    "signals": (1, 3, 120),
    "tokens": (1, 12, 20),
    "planes": (1, 16, 10, 10),
    "volume": (1, 1, 6, 9, 9),
    "gray": (1, 1, 28, 28),
    "photo": (1, 3, 100, 120),
    "last": (1, 20, 20, 3),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_of_input_gets_a_picture(
    shape: tuple[int, ...], channels: int, tmp_path: Path
) -> None:
    arrays = {"x": np.random.default_rng(0).normal(size=shape)}
    made = explanation(arrays, against=arrays if channels == 2 else None)
    plot(made, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert min(picture.size) > 250
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 20
    assert [file.name for file in tmp_path.iterdir()] == ["p.png"]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-30, 1e30])
def test_relevance_that_is_the_same_everywhere(value: float, tmp_path: Path) -> None:
    arrays = {"image": np.zeros((1, 1, 9, 9)), "row": np.zeros((1, 3)), "line": np.zeros((1, 90))}
    same = {name: np.full(x.shape, value) for name, x in arrays.items()}
    plot(explanation(arrays, same), tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_odd_labels_are_drawn_as_they_are(tmp_path: Path) -> None:
    arrays = {"$x_1$ 猫 \\frac{": np.ones((1, 3)), "b": np.ones((1, 2))}
    plot(explanation(arrays), tmp_path / "p.svg")
    assert "<!-- $x_1$ 猫 \\frac{ -->" in (tmp_path / "p.svg").read_text("utf-8")


def test_orange_speaks_for_and_blue_against() -> None:
    with styled():
        red, _, blue, alpha = colours()(1.0)
        assert red > 0.6 > blue and alpha == 1
        red, _, blue, alpha = colours()(0.0)
        assert blue > 0.4 > red and alpha == 1
        assert colours()(0.5)[3] < 0.05


def test_a_scale_shows_only_the_signs_that_occur() -> None:
    assert Scale.of(np.array([0.0, 2.0])).bounds == (0.0, 2.0)
    assert Scale.of(np.array([-3.0, 0.0])).bounds == (-3.0, 0.0)
    assert Scale.of(np.array([-3.0, 2.0])).bounds == (-3.0, 3.0)
    assert Scale.of(np.zeros(3)).bounds == (0.0, 1.0)


def test_smoothing_keeps_what_lies_inside() -> None:
    values = np.zeros((100, 120))
    values[50, 60] = 4.0
    blurred = smoothed(values)
    assert blurred.sum() == pytest.approx(4.0)
    assert 0 < blurred.max() < 1 and np.unravel_index(blurred.argmax(), (100, 120)) == (50, 60)
    small = np.eye(28)
    assert smoothed(small) is small


def test_the_picture_is_what_the_model_saw() -> None:
    entry = ImageInput(2, 2, "bgr", "NCHW", "stretch", 2, 1 / 255, (0.5, 0.4, 0.3), (0.2,) * 3)
    seen = Image.new("RGB", (2, 2), (10, 120, 250))
    sample = entry.encode(seen)
    assert sample.shape == (1, 3, 2, 2) and sample[0, 0, 0, 0] > sample[0, 2, 0, 0]
    assert (entry.decode(sample[0]) == (10, 120, 250)).all()


def test_without_a_sidecar_the_picture_is_stretched_to_full_range() -> None:
    values = np.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)
    shown = shown_picture(ExplainedSample(explanation({"x": values})), "x")
    assert shown.shape == (8, 8, 3) and (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("nodes", [1, 10, 60])
@pytest.mark.parametrize("channels", [1, 2])
def test_layers(nodes: int, channels: int, tmp_path: Path) -> None:
    arrays = {"x": np.ones((1, 2))}
    made = explanation(arrays, against=arrays if channels == 2 else None, nodes=nodes)
    plot_layers(ExplainedSample(made), tmp_path / "l.png")
    assert (tmp_path / "l.png").stat().st_size > 1000


@pytest.fixture
def made() -> Explanation:
    return explanation({"x": np.ones((1, 3))})


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_formats(made: Explanation, suffix: str, tmp_path: Path) -> None:
    made.plot(tmp_path / f"p{suffix}")
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"p{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("name", "sample", "words"),
    [
        ("p.bmp", 0, r"pictures are \.png"),
        ("p.png", 1, "sample 1 of an explanation of 1"),
        ("no/p.png", 0, "cannot be written"),
    ],
)
def test_wrong_use(made: Explanation, name: str, sample: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=words):
        made.plot(tmp_path / name, sample=sample)
    assert not list(tmp_path.iterdir())
