"""Grid sampling, regions of interest and Fourier transforms against their matrices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx
from tests.cases import Array, Case, chain, channels, fixed, generator, link, normal, one, starts
from tests.checks import assert_close, check_batch, check_compiled, check_ledger, check_linear
from tests.dense_oracle import expected

PADDINGS = ("zeros", "border", "reflection")
SHARED = ("default", "contrastive")


def _grid(*shape: int) -> Array:
    """Places a little beyond the borders."""
    return generator(shape).uniform(-1.4, 1.4, shape)


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_grid_sample(mode: str, padding_mode: str, align_corners: int, tmp_path: Path) -> None:
    x = normal(generator(mode), 2, 2, 3, 4, dtype=np.float64)
    case = one(
        "GridSample",
        x,
        fixed(_grid(2, 3, 3, 2)),
        mode=mode,
        padding_mode=padding_mode,
        align_corners=align_corners,
    )
    check_linear(case, SHARED, compiled=tmp_path)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_grid_sample_of_a_volume(mode: str) -> None:
    x = normal(generator(mode), 1, 2, 3, 2, 4, dtype=np.float64)
    check_linear(one("GridSample", x, fixed(_grid(1, 2, 2, 2, 3)), mode=mode), SHARED)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_grid_sample_of_the_first_version(mode: str) -> None:
    x, grid = normal(generator(mode), 1, 1, 4, 4), fixed(_grid(1, 3, 2, 2).astype(np.float32))
    check_linear(one("GridSample", x, grid, mode=mode, opset=16), SHARED)


@dataclass(frozen=True)
class _Bound(Case):
    """A case as a function of x0 alone."""

    others: dict[str, Array] = field(default_factory=dict)

    def run(self, **instead: Array) -> Array:
        return super().run(**{**self.others, **instead})


def _only_x(case: Case, tmp_path: Path) -> None:
    """The image gets all as if the places were fixed, and the places nothing."""
    others = {name: x for name, x in case.feeds.items() if name != "x0"}
    image = _Bound(case.proto, {"x0": case.feeds["x0"]}, others)
    for mode in SHARED:
        r = starts(case, mode)
        got = case.explain(mode, r)
        assert_close(channels(got, "x0"), expected(image, mode, r)["x0"], 1e-5, mode)
        assert not got.relevance["x1"].any()
        check_ledger(got)
        check_compiled(case, mode, r, got, tmp_path)


def test_a_grid_that_is_data_is_a_gate(tmp_path: Path) -> None:
    x = normal(generator("gate"), 2, 1, 3, 3)
    case = one("GridSample", x, _grid(2, 2, 3, 2).astype(np.float32), dynamic=True)
    _only_x(case, tmp_path)
    check_batch(case, "default", tmp_path)


def test_a_grid_alone_is_refused() -> None:
    grid = _grid(1, 2, 2, 2).astype(np.float32)
    case = chain(grid, link("GridSample", fixed(np.ones((1, 1, 3, 3), np.float32)), at=1))
    with pytest.raises(backtrace_onnx.UnsupportedError, match="grid"):
        _ = case.explainer


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("size", [(2, 1, 2, 3), (2, 1, 2, 3, 2)])
def test_affine_grid_is_linear_in_theta(
    size: tuple[int, ...], align_corners: int, tmp_path: Path
) -> None:
    axes = len(size) - 2
    theta = normal(generator("theta"), 2, axes, axes + 1)
    case = one("AffineGrid", theta, fixed(np.array(size)), align_corners=align_corners)
    check_linear(case, SHARED, compiled=tmp_path)


def test_a_spatial_transformer_explains_its_image() -> None:
    x, theta = normal(generator("stn"), 1, 1, 4, 4), normal(generator("stn"), 1, 2, 3)
    grid = link("AffineGrid", fixed(np.array([1, 1, 3, 3])))
    case = chain(theta, grid, link("GridSample", x, at=1))
    r = starts(case, "default")
    got = case.explain("default", r)
    assert got.relevance["x1"].any() and not got.relevance["x0"].any()
    check_ledger(got)


# Regions --------------------------------------------------------------------------------------

REGIONS = np.array([[0, 0, 5, 5], [1, 2, 9, 7], [4.3, -1, 6, 3], [8, 8, 14, 11]], np.float32)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize(
    "version", [(20, "half_pixel"), (20, "output_half_pixel"), (10, None)], ids=str
)
def test_roi_align(version: tuple[int, str | None], ratio: int, tmp_path: Path) -> None:
    opset, coordinates = version
    x, batch = normal(generator("roi"), 2, 2, 5, 6), fixed(np.array([0, 1, 1, 0]))
    how: dict[str, Any] = {"output_height": 2, "output_width": 3, "spatial_scale": 0.5}
    if coordinates is not None:
        how["coordinate_transformation_mode"] = coordinates
    case = one("RoiAlign", x, fixed(REGIONS), batch, sampling_ratio=ratio, opset=opset, **how)
    check_linear(case, SHARED, compiled=tmp_path if opset == 20 else None)


def test_regions_that_are_data_are_a_gate(tmp_path: Path) -> None:
    x, batch = normal(generator("data roi"), 2, 1, 5, 6), fixed(np.array([0, 1, 1, 0]))
    _only_x(one("RoiAlign", x, REGIONS, batch, output_height=2, output_width=2), tmp_path)


def test_roi_align_of_maxima_is_refused() -> None:
    x, batch = normal(generator("max roi"), 1, 1, 5, 6), fixed(np.zeros(4, np.int64))
    case = one("RoiAlign", x, fixed(REGIONS), batch, mode="max")
    with pytest.raises(backtrace_onnx.UnsupportedError, match="'max'"):
        _ = case.explainer


# Fourier transforms ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"onesided": 1}, {"inverse": 1}], ids=str)
@pytest.mark.parametrize("opset", [17, 20])
def test_dft(opset: int, how: dict[str, Any], tmp_path: Path) -> None:
    x = normal(generator(opset), 2, 5, 1, dtype=np.float64)
    check_linear(one("DFT", x, opset=opset, **how), SHARED, compiled=tmp_path)


def test_dft_of_complex_numbers_along_another_axis() -> None:
    x = normal(generator("complex"), 2, 3, 4, 2, dtype=np.float64)
    check_linear(one("DFT", x, fixed(np.int64(5)), fixed(np.int64(1))), SHARED)
    check_linear(one("DFT", x, axis=2, inverse=1, opset=17), SHARED)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("taper", [False, True])
def test_stft(taper: bool, onesided: int, tmp_path: Path) -> None:
    rng = generator("stft")
    x, window = normal(rng, 2, 13, 1), fixed(np.hanning(6).astype(np.float32))
    operands = (fixed(np.int64(3)), window if taper else None, fixed(np.int64(6)))
    check_linear(one("STFT", x, *operands, onesided=onesided), SHARED, compiled=tmp_path)


def test_stft_of_a_complex_signal_is_refused() -> None:
    x = normal(generator("stft"), 1, 8, 2)
    case = one("STFT", x, fixed(np.int64(2)), None, fixed(np.int64(4)), onesided=0)
    with pytest.raises(backtrace_onnx.UnsupportedError, match="complex"):
        _ = case.explainer
