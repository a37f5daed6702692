"""What passes, what is shared term by term, and reductions."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx
from tests.cases import Array, Case, chain, channels, fixed, generator, link, normal, one, starts
from tests.checks import (
    MODES,
    assert_close,
    check_batch,
    check_compiled,
    check_ledger,
    check_linear,
    check_passes,
)

PASS = """
Abs Asinh Atan Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp Floor Gelu HardSigmoid HardSwish Hardmax
Identity LeakyRelu LogSoftmax LpNormalization Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid
Sign Sin Sinh Softmax Softplus Softsign Tan Tanh ThresholdedRelu
"""
ANYWHERE: dict[str, dict[str, Any]] = {
    **{op_type: {} for op_type in PASS.split()},
    "Cast": {"to": 1},
    "LRN": {"size": 3},
    "MeanVarianceNormalization": {"axes": [1, 2]},
}
WITHIN = {
    "Acos": (-0.9, 0.9),
    "Asin": (-0.9, 0.9),
    "Atanh": (-0.9, 0.9),
    "Acosh": (1.1, 3.0),
    "Log": (0.1, 3.0),
    "Sqrt": (0.1, 3.0),
}


@pytest.mark.parametrize("op_type", ANYWHERE)
def test_passes(op_type: str) -> None:
    check_passes(one(op_type, normal(generator(op_type), 2, 3, 4, 2), **ANYWHERE[op_type]))


@pytest.mark.parametrize("op_type", WITHIN)
def test_passes_within_its_domain(op_type: str) -> None:
    x = generator(op_type).uniform(*WITHIN[op_type], (2, 3)).astype(np.float32)
    check_passes(one(op_type, x))


def _beside(rng: np.random.Generator) -> dict[str, Case]:
    x, two, scale, shift = (
        normal(rng, 2, 4, 3),
        fixed(np.float32(2)),
        normal(rng, 4),
        normal(rng, 4),
    )
    last, bias = fixed(normal(rng, 3)), fixed(normal(rng, 3))
    return {
        "PRelu": one("PRelu", x, fixed(normal(rng, 4, 1))),
        "Clip": one("Clip", x, fixed(np.float32(-0.5)), two),
        "Pow": one("Pow", np.abs(x), two),
        "Mod": one("Mod", x, two, fmod=1),
        "Mul by a constant": one("Mul", x, last),
        "Mul from the left": chain(x, link("Mul", last, at=0)),
        "Div by a constant": one("Div", x, last),
        "a constant to the power": chain(x, link("Pow", two, at=0)),
        "a constant divided": chain(x, link("Div", two, at=0)),
        "CastLike": one("CastLike", x, fixed(np.zeros(1))),
        "LayerNormalization": one("LayerNormalization", x, last, bias),
        "InstanceNormalization": one("InstanceNormalization", x, fixed(scale), fixed(shift)),
        "GroupNormalization": one(
            "GroupNormalization", x, fixed(scale), fixed(shift), num_groups=2, opset=21
        ),
        "RMSNormalization": one("RMSNormalization", x, last, opset=23),
        "Swish": one("Swish", x, opset=24),
        "old Clip": one("Clip", x, min=-1.0, max=1.0, opset=6),
        "old Dropout": one("Dropout", x, ratio=0.5, opset=7),
        "old Softmax": one("Softmax", x, axis=1, opset=11),
    }


@pytest.mark.parametrize("name", _beside(generator("beside")))
def test_passes_beside_constants(name: str) -> None:
    check_passes(_beside(generator("beside"))[name])


def test_quantisation_passes() -> None:
    x, scale, zero = normal(generator("q"), 2, 3), fixed(np.float32(0.1)), fixed(np.int8(0))
    check_passes(
        chain(x, link("QuantizeLinear", scale, zero), link("DequantizeLinear", scale, zero))
    )


# Products -------------------------------------------------------------------------------------


def test_product_of_data_is_halved_and_summed_back() -> None:
    rng = generator("mul")
    case = one("Mul", normal(rng, 2, 3, 4), normal(rng, 3, 1))
    for mode in ("default", "contrastive"):
        r = starts(case, mode)
        got = case.explain(mode, r)
        assert_close(channels(got, "x0"), [x / 2 for x in r], 1e-6)
        wanted = [x.sum((0, 2))[:, None] / 2 for x in r]
        assert_close(channels(got, "x1"), wanted, 1e-6)
        check_ledger(got)


def test_a_square_takes_all() -> None:
    x = normal(generator("square"), 2, 3)
    check_passes(one("Mul", x, x))


def test_a_gate_takes_none() -> None:
    rng = generator("gate")
    mask = np.array([[True, False, True], [False, True, True]])
    case = chain(mask, link("Cast", to=1), link("Mul", normal(rng, 2, 3)))
    for mode in ("default", "contrastive"):
        r = starts(case, mode)
        got = case.explain(mode, r)
        assert_close(channels(got, "x1"), r, 1e-6)
        assert not any(part.any() for part in channels(got, "x0"))


@pytest.mark.parametrize("op_type", ["Div", "Pow", "Mod"])
def test_the_first_operand_takes_all(op_type: str) -> None:
    rng = generator(op_type)
    attributes: dict[str, Any] = {"fmod": 1} if op_type == "Mod" else {}
    case = one(op_type, np.abs(normal(rng, 2, 3)), np.abs(normal(rng, 3)), **attributes)
    check_passes(case)
    assert not case.explain("default", starts(case, "default")).relevance["x1"].any()


# Sums -----------------------------------------------------------------------------------------


def _sums(rng: np.random.Generator, dtype: Any = np.float64) -> dict[str, Case]:
    a, b, c = (normal(rng, 3, 4, dtype=dtype) for _ in range(3))
    row, column = normal(rng, 4, dtype=dtype), normal(rng, 3, 1, dtype=dtype)
    return {
        "Add": one("Add", a, b),
        "Add, broadcast": one("Add", a, row),
        "Add, both broadcast": one("Add", row, column),
        "Add, constant row": one("Add", a, fixed(row)),
        "Add, constant column": one("Add", a, fixed(column)),
        "Add, constant first": chain(a, link("Add", fixed(b), at=0)),
        "Sub": one("Sub", a, b),
        "Sub, broadcast": one("Sub", row, a),
        "Sub, constant": one("Sub", a, fixed(b)),
        "Sub from a constant": chain(a, link("Sub", fixed(row), at=0)),
        "Sum": one("Sum", a, row, c),
        "Sum with a constant": one("Sum", a, fixed(b), column),
        "to itself": one("Add", a, a),
    }


@pytest.mark.parametrize("name", _sums(generator("sums")))
def test_sum(name: str, tmp_path: Path) -> None:
    check_linear(_sums(generator("sums"))[name], jointly=True, compiled=tmp_path)


@pytest.mark.parametrize("name", ["Add, broadcast", "Sub", "Sum with a constant"])
def test_sum_in_single_precision(name: str) -> None:
    check_linear(_sums(generator("sums"), np.float32)[name], jointly=True)


def test_mean_shares_like_a_sum() -> None:
    rng = generator("mean")
    a, b, c = (normal(rng, 3, 4) for _ in range(3))
    mean, total = one("Mean", a, b, c), one("Sum", a, b, c)
    check_linear(mean, ("default", "contrastive"), jointly=True, run=total)


def test_all_zero_terms_send_nothing_and_are_unassigned() -> None:
    case = one("Add", np.zeros((1, 2)), np.array([[0.0, 3.0]]))
    for mode in MODES:
        r = starts(case, mode)
        got = case.explain(mode, r)
        assert_close(channels(got, "x1"), [x * [[0, 1]] for x in r], 1e-6)
        for channel, x in enumerate(r):
            assert np.allclose(got.ledger.total().unassigned[channel], x[0, 0])


# Winners --------------------------------------------------------------------------------------


def _shares_of_winners(values: list[Array], best: Array) -> list[Array]:
    wins = [np.broadcast_to(x == best, best.shape).astype(np.float64) for x in values]
    ties = sum(wins, np.zeros(best.shape))
    return [win / ties for win in wins]


@pytest.mark.parametrize("op_type", ["Max", "Min"])
def test_elementwise_winner(op_type: str, tmp_path: Path) -> None:
    rng = generator(op_type)
    a, b, c = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((3, 4), (4,), (3, 4)))
    case = one(op_type, a, b, fixed(c))
    of_a, of_b, of_c = _shares_of_winners([a, b, c], case.y)
    for mode in ("default", "contrastive"):
        r = starts(case, mode)
        got = case.explain(mode, r)
        assert_close(channels(got, "x0"), [x * of_a for x in r], 1e-6)
        assert_close(channels(got, "x1"), [(x * of_b).sum(0) for x in r], 1e-6)
        booked = got.ledger.total().constants.sum(1)
        assert np.allclose(booked, [(x * of_c).sum() for x in r], atol=1e-5)
        check_compiled(case, mode, r, got, tmp_path)


# Reductions -----------------------------------------------------------------------------------

REDUCTIONS: dict[str, Any] = {
    "ReduceSum": None,
    "ReduceMean": None,
    "ReduceL1": np.abs,
    "ReduceL2": np.square,
    "ReduceSumSquare": np.square,
    "ReduceLogSum": None,
    "ReduceLogSumExp": None,
}
OVER: dict[str, tuple[tuple[int, ...] | None, int]] = {
    "one axis": ((1,), 1),
    "last, dropped": ((-1,), 0),
    "two, dropped": ((0, 2), 0),
    "two from the end": ((-1, -3), 1),
    "all": (None, 1),
    "all, dropped": (None, 0),
}


COMPUTED = {over: (axes, keepdims) for over, (axes, keepdims) in OVER.items() if axes}


def _reduction(op_type: str, x: Array, over: str, opset: int) -> Case:
    axes, keepdims = OVER[over]
    if opset >= (13 if op_type == "ReduceSum" else 18):
        operands = () if axes is None else (fixed(np.array(axes)),)
        return one(op_type, x, *operands, keepdims=keepdims, opset=opset)
    attributes: dict[str, Any] = {} if axes is None else {"axes": axes}
    return one(op_type, x, keepdims=keepdims, opset=opset, **attributes)


@pytest.mark.parametrize("opset", [12, 20])
@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("op_type", REDUCTIONS)
def test_reduction(op_type: str, over: str, opset: int, tmp_path: Path) -> None:
    """The sum of inner(x) is what is shared; the mean has weights 1/n of its own."""
    x = _reducible(op_type, over)
    case = _reduction(op_type, x, over, opset)
    run = _reduction(_straight(op_type), x, over, opset)
    check_linear(case, inner=_inner(op_type, x, OVER[over][0]), run=run, compiled=tmp_path)


def _reducible(op_type: str, over: str) -> Array:
    """Numbers of both signs, or positive ones where a logarithm is taken of their sum."""
    x = np.abs(normal(generator(op_type), 2, 3, 2, dtype=np.float32)) + 0.1
    if op_type == "ReduceLogSum":
        return x
    return x * np.where(generator(over).random(x.shape) < 0.4, -1, 1).astype(np.float32)


def _straight(op_type: str) -> str:
    return "ReduceMean" if op_type == "ReduceMean" else "ReduceSum"


def _inner(op_type: str, x: Array, axes: tuple[int, ...] | None) -> Any:
    if op_type != "ReduceLogSumExp":
        return REDUCTIONS[op_type]
    top = x.max(axes, keepdims=True)
    return lambda v: np.exp(v - top)


@pytest.mark.parametrize("over", COMPUTED)
@pytest.mark.parametrize("op_type", REDUCTIONS)
def test_reduction_over_computed_axes(op_type: str, over: str, tmp_path: Path) -> None:
    """Axes that are an input of the model are no data, and may be others in every run."""
    x = _reducible(op_type, over)
    axes, keepdims = COMPUTED[over]
    case = one(op_type, x, np.array(axes), keepdims=keepdims)
    run = one(_straight(op_type), x, np.array(axes), keepdims=keepdims)
    check_linear(case, inner=_inner(op_type, x, axes), run=run, compiled=tmp_path)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("noop", [0, 1])
@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax"])
def test_computed_axes_may_be_none(op_type: str, noop: int, keepdims: int, tmp_path: Path) -> None:
    """Then they are all, or nothing is reduced."""
    x, chosen = normal(generator("none"), 2, 3), np.zeros(2, np.int64)
    links = link("NonZero"), link("Squeeze", fixed([0]))
    how = {"keepdims": keepdims}
    case = chain(chosen, *links, link(op_type, x, at=1, noop_with_empty_axes=noop, **how))
    r = starts(case, "default")
    want = r if noop else channels(one(op_type, x, **how).explain("default", r), "x0")
    got = case.explain("default", r)
    assert_close(channels(got, "x1"), want, 1e-6)
    check_compiled(case, "default", r, got, tmp_path)


def test_an_explainer_follows_the_axes_it_is_given() -> None:
    x = normal(generator("axes"), 2, 3)
    case = one("ReduceMax", x, np.array([0]))
    for axis in (0, 1):
        y = x.max(axis, keepdims=True)
        got = case.explainer.explain({**case.feeds, "x1": np.array([axis])}, start=y)
        assert_close(channels(got, "x0"), [y * (x == y)], 1e-6)


def test_computed_axes_alone_carry_nothing() -> None:
    """A constant reduced over axes that are an input is no data."""
    table = fixed(normal(generator("table"), 2, 3))
    case = chain(np.array([1]), link("ReduceSum", table, at=1))
    got = case.explain("default", starts(case, "default"))
    assert not got.relevance["x0"].any()
    check_ledger(got)


def test_reduction_over_no_axes_is_the_identity_or_all() -> None:
    x, none = normal(generator("noop"), 2, 3), fixed(np.zeros(0, np.int64))
    check_passes(one("ReduceSum", x, none, noop_with_empty_axes=1))
    check_passes(one("ReduceProd", x, none, noop_with_empty_axes=1))
    check_passes(one("ReduceMax", x, none, noop_with_empty_axes=1))
    check_linear(one("ReduceSum", x, none))


def test_log_sum_exp_of_large_numbers_stays_finite() -> None:
    case = one("ReduceLogSumExp", np.array([[90.0, 91.0, -np.log(2)]], np.float32) * 10)
    got = case.explain("default", starts(case, "default"))
    assert np.isfinite(got.relevance["x0"]).all() and got.relevance["x0"].any()


@pytest.mark.parametrize("over", OVER)
def test_factors_of_a_product_share_alike(over: str, tmp_path: Path) -> None:
    axes, _ = OVER[over]
    x = normal(generator("prod"), 2, 3, 2)
    for case in _both("ReduceProd", x, over):
        r = starts(case, "default")
        kept = r[0].reshape(np.prod(x, axis=axes, keepdims=True).shape)
        want = np.broadcast_to(kept, x.shape) * kept.size / x.size
        got = case.explain("default", r)
        assert_close(channels(got, "x0"), [want], 1e-6)
        check_compiled(case, "default", r, got, tmp_path)


def _both(op_type: str, x: Array, over: str) -> list[Case]:
    """The reduction with axes that are constant, and with computed ones."""
    axes, keepdims = OVER[over]
    computed = [] if axes is None else [one(op_type, x, np.array(axes), keepdims=keepdims)]
    return [_reduction(op_type, x, over, 20), *computed]


@pytest.mark.parametrize("op_type", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("over", OVER)
def test_extreme_goes_to_the_winner(op_type: str, over: str, tmp_path: Path) -> None:
    axes, _ = OVER[over]
    x = generator(over).integers(-1, 2, (2, 3, 2)).astype(np.float32)
    best = (np.max if op_type == "ReduceMax" else np.min)(x, axis=axes, keepdims=True)
    wins = (x == best) / (x == best).sum(axis=axes, keepdims=True)
    for case, mode in product(_both(op_type, x, over), ("default", "contrastive")):
        r = starts(case, mode)
        got = case.explain(mode, r)
        want = [wins * part.reshape(best.shape) for part in r]
        assert_close(channels(got, "x0"), want, 1e-6)
        check_compiled(case, mode, r, got, tmp_path)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_cumulated_sum(axis: int, reverse: int, exclusive: int, tmp_path: Path) -> None:
    x = generator(axis, reverse).standard_normal((3, 4))
    case = one("CumSum", x, fixed(np.array(axis)), exclusive=exclusive, reverse=reverse)
    check_linear(case, compiled=tmp_path)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumulated_product(reverse: int, exclusive: int, tmp_path: Path) -> None:
    """Every unit's relevance to the factors it was made from, alike."""
    x = normal(generator("product"), 2, 4)
    how: dict[str, Any] = {"exclusive": exclusive, "reverse": reverse, "opset": 26}
    case = one("CumProd", x, fixed(np.array(1)), **how)
    r = starts(case, "default")
    want = np.zeros(x.shape)
    for k in range(4):
        before = range(k + exclusive, 4) if reverse else range(k + 1 - exclusive)
        factors = [i for i in before if i != k or not exclusive]
        for i in factors:
            want[:, i] += r[0][:, k] / len(factors)
    got = case.explain("default", r)
    assert_close(channels(got, "x0"), [want], 1e-6)
    check_ledger(got)
    check_compiled(case, "default", r, got, tmp_path)


# Batch normalisation standing alone -----------------------------------------------------------


def _batch_norm(rng: np.random.Generator, x: Array, **attributes: Any) -> Case:
    n = x.shape[1]
    statistics = [normal(rng, n) for _ in range(3)] + [np.abs(normal(rng, n)) + 0.5]
    return one("BatchNormalization", x, *map(fixed, statistics), **attributes)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 2, 3)])
def test_batch_normalization_is_an_affine_map(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = generator(shape)
    check_linear(_batch_norm(rng, normal(rng, *shape), epsilon=1e-3), compiled=tmp_path)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2, 3)])
@pytest.mark.parametrize("constant", [(), ("beta",), ("mean",)], ids=str)
def test_statistics_that_are_data(
    constant: tuple[str, ...], shape: tuple[int, ...], tmp_path: Path
) -> None:
    """x, beta and mean are terms; the scale is a gate, whether it is constant or not."""
    rng = generator("statistics")
    x, gamma, variance = normal(rng, *shape), normal(rng, 3), np.abs(normal(rng, 3)) + 0.5
    shifts = [fixed(s) if n in constant else s for n in ("beta", "mean") for s in [normal(rng, 3)]]
    case = one("BatchNormalization", x, fixed(gamma), *shifts, fixed(variance))
    check_linear(case, jointly=True, compiled=tmp_path)
    open_scale = one("BatchNormalization", x, gamma, *shifts, variance)
    r = starts(case, "default")
    want, got = case.explain("default", r), open_scale.explain("default", r)
    names = {id(array): name for name, array in open_scale.feeds.items()}
    assert not got.relevance[names[id(gamma)]].any()
    assert not got.relevance[names[id(variance)]].any()
    for name, array in case.feeds.items():
        assert_close(channels(got, names[id(array)]), channels(want, name), 1e-5, name)
    check_ledger(got)
    check_compiled(open_scale, "default", r, got, tmp_path)


def test_batch_normalization_of_a_constant_is_refused() -> None:
    x, ones = fixed(normal(generator("no data"), 2, 3)), [fixed(np.ones(3, np.float32))] * 3
    case = chain(np.ones(3, np.float32), link("BatchNormalization", x, *ones, at=2))
    with pytest.raises(backtrace_onnx.UnsupportedError, match="no data"):
        _ = case.explainer


def test_batch_normalization_in_training_mode_is_refused() -> None:
    rng = generator("training")
    x = normal(rng, 2, 3, 4)
    statistics = [fixed(np.ones(3, np.float32)) for _ in range(4)]
    case = one("BatchNormalization", x, *statistics, training_mode=1, outputs=3)
    with pytest.raises(backtrace_onnx.UnsupportedError, match="training mode"):
        _ = case.explainer


@pytest.mark.parametrize("mode", MODES)
def test_a_sample_of_a_batch_gets_what_it_would_get_alone(mode: str, tmp_path: Path) -> None:
    rng = generator("batch")
    x, y = normal(rng, 3, 4), normal(rng, 3, 4)
    check_batch(one("Add", x, y, dynamic=True), mode, tmp_path)
    check_batch(one("Mul", x, y, dynamic=True), mode, tmp_path)
    check_batch(one("Max", x, y, dynamic=True), mode, tmp_path)
    check_batch(one("ReduceMean", x, fixed([1]), dynamic=True), mode, tmp_path)
    check_batch(_batch_norm(rng, x, dynamic=True), mode, tmp_path)
