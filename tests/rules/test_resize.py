"""Resizing against the matrix that running basis vectors gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx
from tests.cases import Case, chain, channels, fixed, generator, link, normal, one, starts
from tests.checks import assert_close, check_batch, check_linear

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
ROUNDING = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
LINEAR = ("default", "contrastive")


def _scaled(shape: tuple[int, ...], scales: list[float], **attributes: Any) -> Case:
    x = normal(generator(shape, scales, attributes), *shape)
    return one("Resize", x, None, fixed(np.array(scales, np.float32)), **attributes)


def _sized(shape: tuple[int, ...], sizes: list[int], **attributes: Any) -> Case:
    x = normal(generator(shape, sizes, attributes), *shape)
    return one("Resize", x, None, None, fixed(np.array(sizes, np.int64)), **attributes)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize(mode: str, coordinates: str, tmp_path: Path) -> None:
    how = {"mode": mode, "coordinate_transformation_mode": coordinates}
    check_linear(_scaled((1, 2, 4, 3), [1, 1, 1.7, 2], **how), LINEAR, compiled=tmp_path)
    check_linear(_sized((1, 1, 5, 4), [1, 1, 3, 7], **how), LINEAR)


@pytest.mark.parametrize("rounding", ROUNDING)
def test_nearest_rounds_as_asked(rounding: str, tmp_path: Path) -> None:
    case = _scaled((1, 1, 4, 5), [1, 1, 1.5, 0.6], mode="nearest", nearest_mode=rounding)
    check_linear(case, LINEAR, compiled=tmp_path)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialias(mode: str, tmp_path: Path) -> None:
    check_linear(_scaled((1, 1, 6, 5), [1, 1, 0.5, 0.6], mode=mode, antialias=1), LINEAR)
    case = _sized((1, 1, 6, 5), [1, 1, 2, 3], mode=mode, antialias=1)
    check_linear(case, LINEAR, compiled=tmp_path)


def test_cubic_options() -> None:
    check_linear(_scaled((1, 1, 4, 4), [1, 1, 1.5, 2], mode="cubic", exclude_outside=1), LINEAR)
    check_linear(_scaled((1, 1, 4, 4), [1, 1, 1.5, 2], mode="cubic", cubic_coeff_a=-0.5), LINEAR)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (1, 1, 3, 2, 3)])
def test_other_ranks(shape: tuple[int, ...], mode: str) -> None:
    scales = [1.0] * (len(shape) - 2) + [2.0, 1.5]
    if len(shape) == 3:
        scales = [1.0, 2.0, 1.5]
    check_linear(_scaled(shape, scales, mode=mode), LINEAR)
    if len(shape) == 5:
        check_linear(_scaled(shape, [1, 1, 2, 1, 2], mode=mode), LINEAR)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_channels_last(mode: str) -> None:
    check_linear(_scaled((1, 3, 4, 2), [1, 2, 1.5, 1], mode=mode), LINEAR)
    check_linear(_sized((1, 3, 4, 2), [1, 6, 5, 2], mode=mode), LINEAR)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_axes(mode: str, tmp_path: Path) -> None:
    check_linear(_scaled((1, 2, 4, 3), [2, 1.5], mode=mode, axes=[2, 3]), LINEAR)
    check_linear(_scaled((1, 2, 4, 3), [1.5, 2], mode=mode, axes=[3, 2]), LINEAR)
    case = _sized((1, 2, 4, 3), [7, 2], mode=mode, axes=[-2, -1])
    check_linear(case, LINEAR, compiled=tmp_path)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_keep_aspect_ratio(mode: str, policy: str, tmp_path: Path) -> None:
    how = {"mode": mode, "keep_aspect_ratio_policy": policy}
    case = _sized((1, 1, 4, 5), [7, 8], axes=[2, 3], **how)
    check_linear(case, LINEAR, compiled=tmp_path)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop_and_resize(mode: str, tmp_path: Path) -> None:
    """What lies outside is filled: its relevance is a constant's, or unassigned."""
    x = normal(generator("crop"), 1, 1, 5, 5)
    roi = fixed(np.array([0, 0, 0.1, -0.2, 1, 1, 0.8, 1.1], np.float32))
    operands = roi, None, fixed(np.array([1, 1, 4, 6]))
    how: dict[str, Any] = {"mode": mode}
    how["coordinate_transformation_mode"] = "tf_crop_and_resize"
    check_linear(one("Resize", x, *operands, **how), LINEAR, compiled=tmp_path)


def test_extrapolation_to_a_number() -> None:
    x = normal(generator("outside"), 1, 1, 5, 5)
    roi = fixed(np.array([0, 0, -0.5, -0.2, 1, 1, 0.8, 1.1], np.float32))
    how: dict[str, Any] = {"coordinate_transformation_mode": "tf_crop_and_resize"}
    how["extrapolation_value"] = 3.0
    nearest = one("Resize", x, roi, None, fixed(np.array([1, 1, 4, 6])), mode="nearest", **how)
    r = starts(nearest, "default")
    got = nearest.explain("default", r)
    filled = nearest.y == 3.0
    assert filled.any()
    assert np.isclose(got.ledger.total().constants.sum(), r[0][filled].sum(), atol=1e-5)
    with pytest.raises(backtrace_onnx.UnsupportedError, match="extrapolation_value"):
        _ = one("Resize", x, roi, None, fixed([1, 1, 4, 6]), mode="linear", **how).explainer


OLD: dict[str, tuple[str, int]] = {
    "Upsample 7": ("Upsample", 7),
    "Upsample 9": ("Upsample", 9),
    "Resize 10": ("Resize", 10),
    "Resize 11": ("Resize", 11),
    "Resize 13": ("Resize", 13),
}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("name", OLD)
def test_old_versions(name: str, mode: str) -> None:
    op_type, opset = OLD[name]
    x, scales = normal(generator(name), 1, 2, 3, 4), [1.0, 1.0, 2.0, 1.5]
    if opset == 7:
        case = one(op_type, x, mode=mode, scales=scales, opset=opset)
    else:
        roi = (fixed(np.zeros(0, np.float32)),) if opset > 10 else ()
        case = one(op_type, x, *roi, fixed(np.array(scales, np.float32)), mode=mode, opset=opset)
    check_linear(case, LINEAR)


def test_sizes_beside_empty_scales() -> None:
    x, none = normal(generator("empty"), 1, 2, 3, 4), fixed(np.zeros(0, np.float32))
    check_linear(one("Resize", x, none, none, fixed([1, 2, 5, 6]), mode="linear", opset=11), LINEAR)


def test_nothing_to_resize_passes() -> None:
    case = _scaled((1, 2, 3, 3), [1, 1, 1, 1], mode="linear")
    r = starts(case, "default")
    assert_close(channels(case.explain("default", r), "x0"), r, 1e-7)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_computed_sizes(mode: str, tmp_path: Path) -> None:
    """Sizes computed from the input, as exporters write them."""
    x = normal(generator("computed"), 1, 2, 3, 4)
    fused = one("Resize", x, None, None, fixed(np.array([1, 2, 6, 8])), mode=mode)
    proto = chain(x, link("Identity")).proto
    sized = chain(x, link("Shape"), link("Mul", fixed([1, 1, 2, 2]))).proto
    last = one("Resize", x, None, None, np.ones(4, np.int64), mode=mode).proto.graph.node[0]
    last.input[3] = sized.graph.node[-1].output[0] = "sizes"
    proto.graph.ClearField("node")
    proto.graph.node.extend([*sized.graph.node, last])
    proto.graph.initializer.extend(sized.graph.initializer)
    proto.graph.output[0].CopyFrom(fused.proto.graph.output[0])
    check_linear(Case(proto, fused.feeds), LINEAR, compiled=tmp_path)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_inside_a_model_of_double_precision(mode: str) -> None:
    x = normal(generator("double"), 1, 1, 3, 3, dtype=np.float64)
    scales = fixed(np.array([1, 1, 2, 2], np.float32))
    links = link("Cast", to=1), link("Resize", None, scales, mode=mode), link("Cast", to=11)
    check_linear(chain(x, *links), LINEAR, tolerance=1e-5)


@pytest.mark.parametrize("policy", LINEAR)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_sample_of_a_batch_gets_what_it_would_get_alone(
    mode: str, policy: str, tmp_path: Path
) -> None:
    x, scales = normal(generator("batch"), 3, 2, 3, 4), fixed(np.array([1, 1, 2, 2], np.float32))
    check_batch(one("Resize", x, None, scales, mode=mode, dynamic=True), policy, tmp_path)
