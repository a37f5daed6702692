"""Series and spectrograms in reports: ranked by time, drawn over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backtrace_onnx.inputs.series import SeriesInput
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.json_report import record
from backtrace_onnx.report.pictures import plot_relevance
from backtrace_onnx.report.ranking import rank
from tests.report.made import explanation


def subject(x: Any, relevance: Any, entry: Any = None, against: Any = None) -> ExplainedSample:
    made = explanation({"x": x}, {"x": relevance}, {"x": against} if against is not None else None)
    return ExplainedSample(made, sidecar=Sidecar(Path("s"), {"x": entry}) if entry else None)


def test_a_wave_is_ranked_by_stretches_of_time() -> None:
    relevance = np.zeros((1, 1600))
    relevance[0, 850:860] = 0.5
    relevance[0, 100] = -1
    parts = rank(subject(np.zeros((1, 1600)), relevance, SeriesInput(rate=1600)))
    assert len(parts) == 16
    assert (str(parts[0]), parts[0].relevance, parts[0].span) == ("0.500-0.562 s", 5, (800, 900))
    assert (str(parts[1]), parts[1].relevance) == ("0.062-0.125 s", -1)
    assert sum(part.relevance for part in parts) == relevance.sum()


@pytest.mark.parametrize("layout", ["CT", "TC"])
def test_channels_are_ranked_each_with_its_name(layout: str) -> None:
    relevance = np.zeros((2, 80))
    relevance[1, 75] = 2
    shown = relevance if layout == "CT" else relevance.T
    entry = SeriesInput(10, ("left", "right"), layout, mean=(0, 0), std=(1, 1))
    found = subject(np.zeros((1, *shown.shape)), shown[None], entry)
    first = rank(found)[0]
    assert (str(first), first.span, first.index) == ("right, 7.0-8.0 s", (70, 80), (1, 70))
    assert record("m", [found])["samples"][0]["top"][0]["span"] == [70, 80]


def test_a_few_long_lines_are_a_series_without_a_sidecar() -> None:
    relevance = np.zeros((1, 2, 64))
    relevance[0, 1, 8:16] = 1
    first = rank(subject(np.zeros((1, 2, 64)), relevance))[0]
    assert (str(first), first.relevance) == ("channel 1, positions 8-15", 8)


def test_a_spectrogram_is_ranked_by_time_and_frequency() -> None:
    entry = SpectrogramInput(8000, 200, 80, 200, high=4000)
    relevance = np.zeros((1, 101, 80))
    relevance[0, 30, 45] = 3
    first = rank(subject(np.zeros((1, 101, 80)), relevance, entry))[0]
    assert first.relevance == 3 and first.box == (25, 40, 50, 50)
    assert str(first) == "0.40-0.50 s, 1000-1960 Hz"


@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("signed", [False, True])
def test_series_are_drawn_over_time(count: int, signed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = tuple(f"c{i}" for i in range(count))
    entry = SeriesInput(100, names, "CT", mean=(0,) * count, std=(1,) * count)
    x = rng.normal(size=(1, count, 2000))
    relevance = rng.normal(size=x.shape) if signed else rng.random(x.shape)
    plot_relevance(subject(x, relevance, entry), tmp_path / "p.png")
    assert _ink(tmp_path / "p.png") > 0.02


def test_relevance_lies_under_the_time_where_it_is(tmp_path: Path) -> None:
    x = np.zeros((1, 1000))
    for i, at in enumerate((slice(50, 150), slice(850, 950))):
        relevance = np.zeros((1, 1000))
        relevance[0, at] = 1
        plot_relevance(subject(x, relevance, SeriesInput(rate=100)), tmp_path / f"{i}.png")
    middles = [_orange(tmp_path / f"{i}.png") for i in range(2)]
    assert middles[0] < 0.3 < 0.75 < middles[1]


@pytest.mark.parametrize("bands", [None, 40])
def test_spectrograms_are_drawn_over_time_and_frequency(bands: int | None, tmp_path: Path) -> None:
    entry = SpectrogramInput(16000, 400, 160, 400, bands=bands, high=8000)
    x = np.random.default_rng(1).random((1, entry.rows, 90))
    relevance = np.zeros_like(x)
    relevance[0, : entry.rows // 4, 80:] = 1
    plot_relevance(subject(x, relevance, entry), tmp_path / "p.png")
    assert _ink(tmp_path / "p.png") > 0.02
    assert _orange(tmp_path / "p.png") > 0.75


def test_two_channels_of_relevance_are_one_line(tmp_path: Path) -> None:
    x, r = np.zeros((1, 300)), np.abs(np.random.default_rng(0).normal(size=(2, 1, 300)))
    plot_relevance(subject(x, r[0], SeriesInput(), r[1]), tmp_path / "p.png")
    assert len(rank(subject(x, r[0], SeriesInput(), r[1]))[0].channels) == 2


def _pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.int64)


def _ink(path: Path) -> float:
    return float((_pixels(path).min(axis=2) < 200).mean())


def _orange(path: Path) -> float:
    """The middle of all orange, as a share of the width; the legend is left out."""
    shown = _pixels(path)
    shown = shown[: int(0.8 * len(shown))]
    orange = (shown[..., 0] > shown[..., 2] + 90) & (shown[..., 1] < 200)
    return float(np.nonzero(orange)[1].mean() / shown.shape[1])
