"""Pools against the matrix that running basis vectors gives, winners against plain loops."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import backtrace_onnx
from tests.cases import Array, Case, chain, channels, fixed, generator, link, normal, one, starts
from tests.checks import (
    assert_close,
    check_batch,
    check_compiled,
    check_ledger,
    check_linear,
    run_compiled,
)

Geometry = tuple[tuple[int, ...], dict[str, Any]]

POOLS: dict[str, Geometry] = {
    "1d": ((1, 2, 8), {"kernel_shape": [2], "strides": [2]}),
    "1d overlapping": ((1, 2, 7), {"kernel_shape": [3]}),
    "2d": ((1, 2, 4, 6), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "2d padded": ((1, 2, 5, 5), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "2d rest left out": ((1, 2, 6, 7), {"kernel_shape": [3, 2], "strides": [2, 3]}),
    "2d asymmetric pads": (
        (1, 1, 5, 4),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [2, 0, 1, 1]},
    ),
    "2d ceil": ((1, 2, 6, 5), {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    "2d ceil, padded": (
        (1, 2, 6, 6),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "2d dilated": ((1, 2, 6, 7), {"kernel_shape": [2, 3], "dilations": [3, 2]}),
    "2d same upper": (
        (1, 2, 5, 6),
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "2d same lower": (
        (1, 2, 5, 6),
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "2d valid": ((1, 2, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "VALID"}),
    "3d": (
        (1, 1, 4, 3, 4),
        {"kernel_shape": [2, 2, 2], "strides": [2, 1, 2], "pads": [0, 1, 0, 0, 0, 0]},
    ),
}


def _shape(name: str) -> tuple[int, ...]:
    return POOLS[name][0]


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("name", POOLS)
def test_average_pool(name: str, count_include_pad: int, tmp_path: Path) -> None:
    x = normal(generator(name), *_shape(name))
    attributes = {**POOLS[name][1], "count_include_pad": count_include_pad}
    check_linear(one("AveragePool", x, **attributes), compiled=tmp_path)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("name", POOLS)
def test_lp_pool(name: str, p: int, tmp_path: Path) -> None:
    """What is shared is the sum of |x|^p."""
    x = normal(generator(name, p), *_shape(name))
    case = one("LpPool", x, p=p, **POOLS[name][1])
    run = one("LpPool", x, p=1, **POOLS[name][1])
    check_linear(case, inner=lambda v: np.abs(v) ** p, run=run, compiled=tmp_path)


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 3, 4, 5), (1, 2, 2, 3, 2)])
def test_global_pools(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = normal(generator(shape), *shape)
    check_linear(one("GlobalAveragePool", x), compiled=tmp_path)
    axes = fixed(np.arange(2, len(shape)))
    squares = one("ReduceSum", x, axes, keepdims=1)
    check_linear(one("GlobalLpPool", x, p=2), inner=np.square, run=squares, compiled=tmp_path)


# Winners --------------------------------------------------------------------------------------


def _begin(geometry: dict[str, Any], size: tuple[int, ...]) -> list[int]:
    """Padding before each axis, from the definition of auto_pad."""
    kernel = geometry["kernel_shape"]
    if not geometry.get("auto_pad", "").startswith("SAME"):
        return list(geometry.get("pads", [0] * 2 * len(kernel)))[: len(kernel)]
    begin = []
    for n, k, stride in zip(size, kernel, geometry["strides"], strict=True):
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        begin.append(total // 2 if geometry["auto_pad"] == "SAME_UPPER" else total - total // 2)
    return begin


def _to_winners(x: Array, r: Array, geometry: dict[str, Any]) -> Array:
    """Every unit's relevance to the largest entries of its window, alike."""
    kernel = geometry["kernel_shape"]
    strides = geometry.get("strides", [1] * len(kernel))
    dilations = geometry.get("dilations", [1] * len(kernel))
    begin = _begin(geometry, x.shape[2:])
    out = np.zeros(x.shape)
    for at in np.ndindex(r.shape):
        places = [
            [i * s - b + k * d for k in range(n)]
            for i, s, b, n, d in zip(at[2:], strides, begin, kernel, dilations, strict=True)
        ]
        inside = [
            (*at[:2], *place)
            for place in product(*places)
            if all(0 <= p < n for p, n in zip(place, x.shape[2:], strict=True))
        ]
        top = max(x[place] for place in inside)
        winners = [place for place in inside if x[place] == top]
        for place in winners:
            out[place] += r[at] / len(winners)
    return out


@pytest.mark.parametrize("name", POOLS)
def test_max_pool(name: str, tmp_path: Path) -> None:
    shape, geometry = POOLS[name]
    x = generator(name).integers(-3, 2, shape).astype(np.float32)  # with ties, and below padding
    case = one("MaxPool", x, **geometry)
    for mode in ("default", "contrastive"):
        r = starts(case, mode)
        got = case.explain(mode, r)
        assert_close(channels(got, "x0"), [_to_winners(x, part, geometry) for part in r], 1e-6)
        check_ledger(got)
        check_compiled(case, mode, r, got, tmp_path)


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 3, 4, 5)])
def test_global_max_pool(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = generator(shape).integers(-3, 0, shape).astype(np.float32)
    case = one("GlobalMaxPool", x)
    axes = tuple(range(2, len(shape)))
    wins = x == x.max(axes, keepdims=True)
    for mode in ("default", "contrastive"):
        r = starts(case, mode)
        got = case.explain(mode, r)
        want = [part * wins / wins.sum(axes, keepdims=True) for part in r]
        assert_close(channels(got, "x0"), want, 1e-6)
        check_compiled(case, mode, r, got, tmp_path)


REGIONS = np.array(
    [[0, 0, 0, 9, 7], [1, 2, 1, 11, 9], [1, 3, 3, 3, 3], [0, -5, 2, 30, 5], [0, 40, 40, 50, 50]],
    np.float32,
)


def _to_maxima_of_regions(x: Array, r: Array, scale: float) -> Array:
    """Every bin's relevance to its largest entries, alike; bins as the operator cuts them."""
    out = np.zeros(x.shape)
    for region, per_channel in zip(REGIONS, r, strict=True):
        sample, corners = int(region[0]), _nearest(region[1:] * scale)
        for c, a, b in np.ndindex(per_channel.shape):
            spans = []
            for axis, k in ((1, a), (0, b)):  # rows, columns
                begin = corners[axis]
                step = max(corners[axis + 2] - begin + 1, 1) / per_channel.shape[2 - axis]
                low, high = begin + np.floor(k * step), begin + np.ceil((k + 1) * step)
                spans.append(slice(*np.clip([low, high], 0, x.shape[3 - axis]).astype(int)))
            window = x[sample, c, spans[0], spans[1]]
            if window.size:
                wins = window == window.max()
                out[sample, c, spans[0], spans[1]] += wins * per_channel[c, a, b] / wins.sum()
    return out


def _nearest(x: Array) -> Array:
    """Whole numbers, halves away from zero."""
    return (np.sign(x) * np.floor(np.abs(x) + 0.5)).astype(int)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_max_roi_pool(scale: float) -> None:
    """Regions of many sizes, with ties and negative maxima, and one outside the image."""
    x = generator("regions").integers(-4, 3, (2, 2, 6, 7)).astype(np.float32)
    case = one("MaxRoiPool", x, REGIONS, pooled_shape=[2, 3], spatial_scale=scale)
    for mode in ("default", "contrastive"):
        r = starts(case, mode)
        got = case.explain(mode, r)
        want = [_to_maxima_of_regions(x, part, scale) for part in r]
        assert_close(channels(got, "x0"), want, 1e-6)
        assert not got.relevance["x1"].any()
        lost = [part.sum() - moved.sum() for part, moved in zip(r, want, strict=True)]
        assert np.allclose(got.ledger.total().constants.sum(1), lost, atol=1e-4)
        check_ledger(got)


def test_max_roi_pool_goes_where_the_operator_looked() -> None:
    """Without ties or negative numbers, the winners hold the very numbers that came out."""
    x = generator("winners").permutation(2 * 6 * 7).reshape(2, 1, 6, 7).astype(np.float32) + 1
    case = one("MaxRoiPool", x, REGIONS[:4], pooled_shape=[2, 3], spatial_scale=0.5)
    for at in np.ndindex(case.y.shape):
        start = np.zeros_like(case.y)
        start[at] = 1
        got = case.explain("default", (start,)).relevance["x0"]
        assert (x[got != 0] == case.y[at]).all()
        assert got.sum() == (case.y[at] > 0)  # 0 is what an empty bin is given


def test_max_roi_pool_cannot_be_compiled(tmp_path: Path) -> None:
    x, regions = np.ones((2, 1, 6, 7), np.float32), fixed(REGIONS)
    case = one("MaxRoiPool", x, regions, pooled_shape=[2, 2])
    with pytest.raises(backtrace_onnx.CompileError, match="node 'MaxRoiPool_y'"):
        case.explainer.compile(tmp_path / "explained.onnx")


def test_regions_alone_are_refused() -> None:
    case = chain(
        REGIONS, link("MaxRoiPool", fixed(np.ones((2, 1, 6, 7))), at=1, pooled_shape=[2, 2])
    )
    with pytest.raises(backtrace_onnx.UnsupportedError, match="only its regions"):
        _ = case.explainer


def test_max_unpool_brings_back_what_was_put() -> None:
    rng = generator("unpool")
    x = rng.permutation(64).reshape(1, 1, 8, 8).astype(np.float32)
    geometry: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    values = one("MaxPool", x, **geometry).y
    windows = x.reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(4, 4, 4)
    best = windows.argmax(2)
    rows, columns = np.indices((4, 4)) * 2
    indices = ((rows + best // 2) * 8 + columns + best % 2)[None, None].astype(np.int64)
    case = one("MaxUnpool", values, indices, **geometry)
    r = starts(case, "default")
    got = case.explain("default", r)
    assert_close(channels(got, "x0"), [r[0].ravel()[indices]], 1e-6)


# Batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool"])
def test_a_sample_of_a_batch_gets_what_it_would_get_alone(
    op_type: str, mode: str, tmp_path: Path
) -> None:
    x = normal(generator(op_type), 3, 2, 5, 6)
    geometry = POOLS["2d same lower"][1] if not op_type.startswith("Global") else {}
    check_batch(one(op_type, x, dynamic=True, **geometry), mode, tmp_path)


def _opened(case: Case) -> Case:
    """The same model with every axis of its input open but the channels."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    for dim, name in zip(proto.graph.input[0].type.tensor_type.shape.dim, "nchw", strict=True):
        if name != "c":
            dim.dim_param = name
    for dim in proto.graph.output[0].type.tensor_type.shape.dim:
        dim.ClearField("dim_value")
    return Case(proto, case.feeds)


@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_nothing_is_frozen_from_the_first_size(mode: str, tmp_path: Path) -> None:
    """One explainer, one compiled model, images of two sizes."""
    geometry: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
    rng = generator("open")
    w, back = fixed(normal(rng, 3, 2, 3, 3)), fixed(normal(rng, 3, 2, 2, 2))
    scales = fixed(np.array([1, 1, 2, 1.5], np.float32))
    links = (
        link("Conv", w, **geometry),
        link("Resize", None, scales, mode="linear"),
        link("AveragePool", kernel_shape=[2, 2], strides=[1, 2], ceil_mode=1),
        link("ConvTranspose", back, strides=[2, 2], output_padding=[0, 1]),
        link("Resize", None, scales, mode="nearest"),
        link("MaxPool", **geometry),
    )
    opened = _opened(chain(normal(rng, 1, 2, 6, 7), *links))
    explainer, path = opened.explainer, tmp_path / "explained.onnx"
    explainer.compile(path, mode=mode, task="start")
    for size in ((6, 7), (9, 4)):
        closed = chain(normal(generator(size), 2, 2, *size), *links)
        r = starts(closed, mode)
        want = channels(closed.explain(mode, r), "x0")
        got = explainer.explain(closed.feeds, mode=mode, start=r if len(r) > 1 else r[0])
        assert_close(channels(got, "x0"), want, 1e-5, f"{size}")
        assert_close(run_compiled(path, closed.feeds, r)["x0"], want, 1e-5, f"compiled {size}")
