"""Linear operators against the matrix that running basis vectors gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import backtrace_onnx
from tests.cases import (
    Array,
    Case,
    Fixed,
    chain,
    channels,
    fixed,
    generator,
    link,
    normal,
    one,
    starts,
)
from tests.checks import assert_close, check_batch, check_linear
from tests.dense_oracle import GATES

FLOATS = (np.float32, np.float64)


def _gemm(rng: np.random.Generator, dtype: Any, **attributes: Any) -> Case:
    a = normal(rng, *((4, 3) if attributes.get("transA") else (3, 4)), dtype=dtype)
    b = normal(rng, *((5, 4) if attributes.get("transB") else (4, 5)), dtype=dtype)
    return one("Gemm", a, fixed(b), fixed(normal(rng, 5, dtype=dtype)), **attributes)


GEMMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "transA": {"transA": 1},
    "transB": {"transB": 1},
    "both": {"transA": 1, "transB": 1},
    "alpha": {"alpha": 0.3, "beta": 2.5},
    "negative": {"alpha": -1.5, "beta": -0.5, "transB": 1},
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", GEMMS)
def test_gemm(name: str, dtype: Any, tmp_path: Path) -> None:
    check_linear(_gemm(generator(name), dtype, **GEMMS[name]), compiled=tmp_path)


@pytest.mark.parametrize("name", GEMMS)
def test_gemm_of_two_data_factors(name: str, tmp_path: Path) -> None:
    fused = _gemm(generator(name), np.float64, **GEMMS[name])
    rng = generator(name)
    b = normal(rng, *((5, 4) if GEMMS[name].get("transB") else (4, 5)), dtype=np.float64)
    case = one("Gemm", fused.feeds["x0"], b, fixed(rng.standard_normal((3, 1))), **GEMMS[name])
    check_linear(case, compiled=tmp_path)


def test_gemm_of_a_constant_and_data(tmp_path: Path) -> None:
    rng = generator("first")
    a, b = fixed(rng.standard_normal((3, 4))), rng.standard_normal((4, 5))
    check_linear(one("Gemm", a, b, alpha=-2.0), compiled=tmp_path)


SHAPES = {
    "matrices": ((3, 4), (4, 2)),
    "batched": ((2, 3, 4), (2, 4, 2)),
    "broadcast right": ((2, 3, 4), (4, 2)),
    "broadcast left": ((3, 4), (2, 4, 2)),
    "broadcast both": ((2, 1, 2, 3), (1, 3, 3, 2)),
    "vector left": ((4,), (4, 2)),
    "vector right": ((3, 4), (4,)),
    "vectors": ((4,), (4,)),
    "vector and stack": ((4,), (2, 4, 3)),
    "stack and vector": ((2, 3, 4), (4,)),
}


@pytest.mark.parametrize("data", ["left", "right", "both"])
@pytest.mark.parametrize("name", SHAPES)
def test_matmul(name: str, data: str, tmp_path: Path) -> None:
    rng = generator(name)
    a, b = (rng.standard_normal(shape) for shape in SHAPES[name])
    left = a if data != "right" else fixed(a)
    right = b if data != "left" else fixed(b)
    check_linear(one("MatMul", left, right), compiled=tmp_path)


EQUATIONS = {
    "matrix product": ("ij,jk->ik", (3, 4), (4, 2)),
    "attention": ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 2, 4)),
    "outer": ("i,j->ij", (3,), (4,)),
    "implicit": ("ij,jk", (3, 4), (4, 2)),
    "ellipsis": ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 2)),
    "ellipsis in the middle": ("i...j,jk->i...k", (2, 3, 4), (4, 2)),
    "elementwise": ("ij,ij->ji", (3, 4), (3, 4)),
    "to a scalar": ("ij,ij->", (3, 4), (3, 4)),
    "swapped": ("bij,kj->bki", (2, 3, 4), (5, 4)),
}


@pytest.mark.parametrize("data", ["left", "both"])
@pytest.mark.parametrize("name", EQUATIONS)
def test_einsum(name: str, data: str, tmp_path: Path) -> None:
    equation, *shapes = EQUATIONS[name]
    a, b = (generator(name).standard_normal(shape) for shape in shapes)
    right = b if data == "both" else fixed(b)
    check_linear(one("Einsum", a, right, equation=equation), compiled=tmp_path)


@pytest.mark.parametrize("equation", ["ij->ji", "ij->j", "ij->"])
def test_einsum_of_one_operand(equation: str) -> None:
    x = generator(equation).standard_normal((3, 4))
    check_linear(one("Einsum", x, equation=equation))


def test_einsum_that_sums_an_axis_of_its_data_alone() -> None:
    rng = generator("alone")
    x, w = rng.standard_normal((3, 4, 2)), fixed(rng.standard_normal((4, 2)))
    check_linear(one("Einsum", x, w, equation="ijl,jk->ik"))


REFUSED = {
    "diagonal": ("ii->i", ((3, 3),)),
    "more than two": ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    "sums an axis": ("ijl,jk->ik", ((3, 4, 2), (4, 2))),
}


@pytest.mark.parametrize("why", REFUSED)
def test_einsum_that_is_refused(why: str) -> None:
    equation, shapes = REFUSED[why]
    case = one("Einsum", *(np.ones(shape) for shape in shapes), equation=equation)
    with pytest.raises(backtrace_onnx.UnsupportedError, match=why):
        _ = case.explainer


# Convolutions ---------------------------------------------------------------------------------

CONVS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1d": ((1, 2, 9), (3, 2, 3), {}),
    "1d strided": ((1, 2, 10), (3, 2, 3), {"strides": [3], "pads": [1, 2]}),
    "2d": ((1, 2, 5, 6), (3, 2, 3, 2), {}),
    "2d padded": ((1, 2, 5, 6), (3, 2, 3, 3), {"pads": [1, 1, 1, 1]}),
    "2d asymmetric pads": ((1, 2, 5, 6), (3, 2, 3, 2), {"pads": [2, 0, 1, 3]}),
    "2d strided, rest left out": ((1, 2, 6, 7), (3, 2, 3, 3), {"strides": [2, 3]}),
    "2d dilated": ((1, 2, 7, 6), (3, 2, 3, 2), {"dilations": [2, 3], "pads": [1, 0, 2, 1]}),
    "2d grouped": ((1, 4, 5, 5), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "2d depthwise": ((1, 3, 5, 5), (6, 1, 3, 3), {"group": 3, "strides": [2, 2]}),
    "2d strided, dilated, grouped": (
        *((1, 4, 7, 8), (2, 2, 2, 3)),
        {"group": 2, "strides": [2, 1], "dilations": [2, 2], "pads": [1, 2, 0, 1]},
    ),
    "2d one by one, strided": ((1, 3, 5, 5), (2, 3, 1, 1), {"strides": [2, 2]}),
    "2d pads beyond the kernel": ((1, 2, 4, 4), (2, 2, 2, 2), {"pads": [2, 3, 3, 2]}),
    "2d same upper": ((1, 2, 6, 5), (3, 2, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    "2d same lower": ((1, 2, 6, 5), (3, 2, 2, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "2d valid": ((1, 2, 6, 5), (3, 2, 3, 2), {"auto_pad": "VALID", "strides": [2, 2]}),
    "3d": ((1, 2, 3, 4, 3), (2, 2, 2, 3, 2), {"strides": [1, 2, 1], "pads": [1, 0, 0, 0, 1, 1]}),
    "batch of two": ((2, 2, 4, 4), (2, 2, 3, 3), {"pads": [1, 1, 1, 1]}),
}


@pytest.mark.parametrize("name", CONVS)
def test_conv(name: str, tmp_path: Path) -> None:
    rng = generator(name)
    shape, kernel, attributes = CONVS[name]
    x, w, b = normal(rng, *shape), fixed(normal(rng, *kernel)), fixed(normal(rng, kernel[0]))
    check_linear(one("Conv", x, w, b, **attributes), compiled=tmp_path)


@pytest.mark.parametrize("name", [name for name in CONVS if "strides" in CONVS[name][2]])
def test_the_way_back_is_the_same_where_sizes_are_known_beforehand(name: str) -> None:
    rng = generator(name)
    shape, kernel, attributes = CONVS[name]
    known = one("Conv", normal(rng, *shape), fixed(normal(rng, *kernel)), **attributes)
    sizes_open = onnx.ModelProto()
    sizes_open.CopyFrom(known.proto)
    for value in (*sizes_open.graph.input, *sizes_open.graph.output):
        for axis, size in enumerate(value.type.tensor_type.shape.dim[2:]):
            size.dim_param = f"{value.name}{axis}"
    for mode in ("default", "contrastive", "gradient"):
        start = starts(known, "contrastive" if mode == "contrastive" else "default")
        alike = (
            Case(proto, known.feeds).explain(mode, start) for proto in (known.proto, sizes_open)
        )
        found, again = (explanation.relevance["x0"] for explanation in alike)
        np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize(
    "name", ["1d strided", "2d strided, dilated, grouped", "2d same upper", "batch of two", "2d"]
)
def test_conv_with_a_computed_kernel(name: str, tmp_path: Path) -> None:
    rng = generator(name, "kernel")
    shape, kernel, attributes = CONVS[name]
    check_linear(
        one("Conv", normal(rng, *shape), normal(rng, *kernel), **attributes), compiled=tmp_path
    )


TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1d": ((1, 2, 4), (2, 3, 3), {"strides": [2]}),
    "2d": ((1, 2, 3, 3), (2, 3, 3, 2), {}),
    "2d strided": ((1, 2, 3, 3), (2, 3, 2, 2), {"strides": [2, 2]}),
    "2d gaps": ((1, 2, 3, 3), (2, 2, 2, 2), {"strides": [3, 3]}),
    "2d padded": ((1, 2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "pads": [1, 0, 0, 1]}),
    "2d output padding": (
        *((1, 2, 3, 3), (2, 2, 3, 3)),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    "2d output shape": ((1, 2, 3, 3), (2, 2, 3, 3), {"strides": [2, 2], "output_shape": [6, 5]}),
    "2d output shape, upper": (
        *((1, 2, 3, 3), (2, 2, 3, 3)),
        {"strides": [2, 2], "output_shape": [6, 6], "auto_pad": "SAME_UPPER"},
    ),
    "2d same upper": ((1, 2, 3, 3), (2, 2, 3, 4), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "2d same lower": ((1, 2, 3, 3), (2, 2, 3, 4), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "2d grouped": ((1, 4, 3, 3), (4, 2, 2, 2), {"group": 2, "strides": [2, 2]}),
    "2d dilated": ((1, 2, 3, 3), (2, 2, 2, 2), {"dilations": [2, 2], "pads": [1, 1, 0, 1]}),
    "3d": ((1, 2, 2, 2, 2), (2, 2, 2, 2, 2), {"strides": [2, 2, 1]}),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_conv_transpose(name: str, tmp_path: Path) -> None:
    rng = generator(name, "transposed")
    shape, kernel, attributes = TRANSPOSED[name]
    bias = fixed(normal(rng, kernel[1] * attributes.get("group", 1)))
    case = one(
        "ConvTranspose", normal(rng, *shape), fixed(normal(rng, *kernel)), bias, **attributes
    )
    check_linear(case, compiled=tmp_path)


@pytest.mark.parametrize("name", ["1d", "2d padded", "2d grouped", "2d output padding"])
def test_conv_transpose_with_a_computed_kernel(name: str, tmp_path: Path) -> None:
    rng = generator(name, "transposed kernel")
    shape, kernel, attributes = TRANSPOSED[name]
    case = one("ConvTranspose", normal(rng, *shape), normal(rng, *kernel), **attributes)
    check_linear(case, compiled=tmp_path)


# Joined ---------------------------------------------------------------------------------------


def _same(separate: Case, fused: Case) -> None:
    """Both are the same function and get the same explanation."""
    assert_close([separate.y], [fused.y], 1e-5)
    for mode in ("default", "contrastive"):
        r = starts(fused, mode)
        want = channels(fused.explain(mode, r), "x0")
        assert_close(channels(separate.explain(mode, r), "x0"), want, 1e-5, mode)


def _statistics(rng: np.random.Generator, n: int) -> list[Array]:
    """Scale, shift, mean and variance of n channels."""
    return [normal(rng, n), normal(rng, n), normal(rng, n), np.abs(normal(rng, n)) + 0.5]


def _image(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    return normal(rng, 2, 3, 5, 5), normal(rng, 4, 3, 3, 3), normal(rng, 4)


def test_conv_and_batch_normalization() -> None:
    rng = generator("bn")
    x, w, b = _image(rng)
    gamma, beta, mean, variance = _statistics(rng, 4)
    scale = gamma / np.sqrt(variance + 1e-5)
    norm = link("BatchNormalization", *map(fixed, (gamma, beta, mean, variance)))
    fused = fixed(w * scale[:, None, None, None]), fixed(beta + (b - mean) * scale)
    _same(chain(x, link("Conv", fixed(w), fixed(b)), norm), one("Conv", x, *fused))


def test_conv_transpose_and_batch_normalization() -> None:
    rng = generator("bn transposed")
    x, w = normal(rng, 2, 4, 3, 3), normal(rng, 4, 3, 2, 2)
    gamma, beta, mean, variance = _statistics(rng, 6)
    scale = gamma / np.sqrt(variance + 1e-5)
    norm = link("BatchNormalization", *map(fixed, (gamma, beta, mean, variance)))
    kernel = w.reshape(2, 2, 3, 2, 2) * scale.reshape(2, 1, 3, 1, 1)
    fused = fixed(kernel.reshape(w.shape)), fixed(beta - mean * scale)
    attributes: dict[str, Any] = {"group": 2, "strides": [2, 2]}
    separate = chain(x, link("ConvTranspose", fixed(w), **attributes), norm)
    _same(separate, one("ConvTranspose", x, *fused, **attributes))


def test_conv_scale_and_shift() -> None:
    rng = generator("scale")
    x, w, _ = _image(rng)
    scale, shift = normal(rng, 4, 1, 1), normal(rng, 1, 4, 1, 1)
    links = link("Mul", fixed(scale)), link("Add", fixed(shift))
    fused = fixed(w * scale[..., None]), fixed(shift.ravel())
    _same(chain(x, link("Conv", fixed(w)), *links), one("Conv", x, *fused))


def test_conv_subtracted_from_and_divided() -> None:
    rng = generator("sub")
    x, w, b = _image(rng)
    links = link("Sub", fixed(b[:, None, None]), at=1), link("Div", fixed(np.float32(0.5)))
    _same(chain(x, link("Conv", fixed(w)), *links), one("Conv", x, fixed(-2 * w), fixed(2 * b)))


def test_conv_transpose_add_as_tf2onnx_writes_it() -> None:
    rng = generator("nhwc")
    x, w, b = _image(rng)
    turned = link("Transpose", perm=[0, 2, 3, 1])
    separate = chain(x, link("Conv", fixed(w)), turned, link("Add", fixed(b)), link("Relu"))
    fused = chain(x, link("Conv", fixed(w), fixed(b)), turned, link("Relu"))
    _same(separate, fused)


def test_matmul_and_add() -> None:
    rng = generator("matmul")
    x, w, b = normal(rng, 2, 3, 4), normal(rng, 4, 5), normal(rng, 5)
    links = link("MatMul", fixed(w)), link("Add", fixed(b))
    flat = link("Reshape", fixed([6, 4]))
    back = link("Reshape", fixed([2, 3, 5]))
    _same(chain(x, *links), chain(x, flat, link("Gemm", fixed(w), fixed(b)), back))


def test_matmul_reshape_add() -> None:
    rng = generator("heads")
    x, w, b = normal(rng, 2, 3, 4), normal(rng, 4, 6), normal(rng, 6)
    back = link("Reshape", fixed([6, 6]))
    separate = chain(x, link("MatMul", fixed(w)), back, link("Add", fixed(b)))
    _same(separate, chain(x, link("MatMul", fixed(w)), link("Add", fixed(b)), back))


def test_gemm_with_alpha_and_beta() -> None:
    rng = generator("alpha")
    x, w, b = normal(rng, 2, 4), normal(rng, 4, 5), normal(rng, 5)
    separate = one("Gemm", x, fixed(w), fixed(b), alpha=-0.5, beta=3.0)
    _same(separate, one("Gemm", x, fixed(-0.5 * w), fixed(3 * b)))


def test_a_bias_that_is_data_is_one_more_term() -> None:
    rng = generator("data bias")
    x, w, b = normal(rng, 2, 4), fixed(normal(rng, 4, 5)), normal(rng, 5)
    together = one("Gemm", x, w, b, beta=-2.0)
    links = link("MatMul", w), link("Add", b * np.float32(-2))
    apart = chain(x, *links)
    for mode in ("default", "contrastive"):
        r = starts(together, mode)
        got, want = together.explain(mode, r), apart.explain(mode, r)
        for name in ("x0", "x1"):
            assert_close(channels(got, name), channels(want, name), 1e-5, f"{mode} {name}")


def test_a_bias_of_conv_that_is_data_is_one_more_term(tmp_path: Path) -> None:
    rng = generator("data bias of conv")
    x, w, b = _image(rng)
    together = one("Conv", x, fixed(w), b)
    apart = chain(x, link("Conv", fixed(w)), link("Add", b.reshape(4, 1, 1)))
    for mode in ("default", "contrastive"):
        r = starts(together, mode)
        got, want = together.explain(mode, r), apart.explain(mode, r)
        assert_close(channels(got, "x0"), channels(want, "x0"), 1e-5, mode)
        wanted = [part.reshape(4) for part in channels(want, "x1")]
        assert_close(channels(got, "x1"), wanted, 1e-5, mode)


# Saturation gates -----------------------------------------------------------------------------

BETWEEN = {
    "directly": (),
    "reshape": (link("Reshape", fixed([3, 7, 2])),),
    "flatten and unsqueeze": (link("Flatten"), link("Unsqueeze", fixed([0]))),
    "transpose": (link("Transpose", perm=[1, 0]),),
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid"])
def test_gate(activation: str, between: str, tmp_path: Path) -> None:
    rng = generator(activation, between)
    x, w, b = 2 * normal(rng, 3, 5), fixed(2 * normal(rng, 5, 14)), fixed(normal(rng, 14))
    linear = link("Gemm", w, b)
    case = chain(x, linear, *BETWEEN[between], link(activation))
    straight = chain(x, linear, *BETWEEN[between])
    y = straight.y
    assert (y < GATES[activation][0]).any() and (y > GATES[activation][1]).any()
    check_linear(case, gate=GATES[activation], run=straight, compiled=tmp_path)


def test_softmax_has_a_gate_at_the_head_only() -> None:
    rng = generator("softmax")
    x, w = 2 * normal(rng, 3, 5), fixed(normal(rng, 5, 4))
    straight = chain(x, link("MatMul", w))
    head = chain(x, link("MatMul", w), link("Softmax"))
    check_linear(head, ("default",), gate=GATES["Softmax"], run=straight)
    inside = chain(x, link("MatMul", w), link("Softmax"), link("Neg"))
    check_linear(inside, ("default",), run=straight)


def test_relu_has_no_gate() -> None:
    rng = generator("relu")
    x, w, b = 9 * normal(rng, 3, 5), fixed(normal(rng, 5, 4)), fixed(normal(rng, 4))
    straight = chain(x, link("Gemm", w, b))
    check_linear(chain(x, link("Gemm", w, b), link("Relu")), ("default",), run=straight)


# Batches and policies -------------------------------------------------------------------------


def _batched(rng: np.random.Generator) -> dict[str, Case]:
    w, image = fixed(normal(rng, 4, 2, 3, 3)), normal(rng, 3, 2, 6, 5)
    return {
        "gemm": one("Gemm", normal(rng, 3, 4), fixed(normal(rng, 4, 5)), dynamic=True),
        "attention": one("MatMul", normal(rng, 3, 2, 4), normal(rng, 3, 4, 2), dynamic=True),
        "conv": one("Conv", image, w, fixed(normal(rng, 4)), strides=[2, 1], dynamic=True),
        "same": one("Conv", image, w, auto_pad="SAME_LOWER", strides=[2, 2], dynamic=True),
        "transposed": one("ConvTranspose", normal(rng, 3, 4, 3, 3), w, dynamic=True),
    }


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("name", _batched(generator("batch")))
def test_a_sample_of_a_batch_gets_what_it_would_get_alone(
    name: str, mode: str, tmp_path: Path
) -> None:
    check_batch(_batched(generator("batch"))[name], mode, tmp_path)


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_a_unit_without_mass_sends_nothing_and_is_unassigned(mode: str) -> None:
    case = one("MatMul", np.array([[1.0, 1.0]]), fixed(np.array([[1.0, 0.0], [2.0, 0.0]])))
    r = starts(case, mode)
    got = case.explain(mode, r)
    for channel, part in enumerate(channels(got, "x0")):
        assert np.allclose(part, r[channel][0, 0] * np.array([[1, 2]]) / 3)
        assert np.allclose(got.ledger.total().unassigned[channel], r[channel][0, 1])


def test_constants_take_no_share() -> None:
    rng = generator("constant factor")
    a, w = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    case: Case = one("MatMul", a, Fixed(w))
    r = starts(case, "default")
    total = case.explain("default", r).ledger.total()
    assert np.allclose(total.inputs, total.start) and not total.constants.any()
