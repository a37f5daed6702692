"""A policy that a user writes works over every structure, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import numpy_helper

import backtrace_onnx
from backtrace_onnx.policies import POLICIES, divide, where
from tests.cases import Case, fixed, generator, link, normal, one, starts
from tests.cases import chain as chained
from tests.checks import check_batch, check_compiled, check_ledger, check_linear


def alpha_beta(p: Any, n: Any, b: Any, r: Any) -> Any:
    """Positive contributions twice, negative ones once against."""
    return ((2 * divide(r, p + abs(b)), -divide(r, n), 2 * divide(r * abs(b), p + abs(b))),)


def squared_mass(p: Any, n: Any, b: Any, r: Any) -> Any:
    """Heavy units lose more of theirs."""
    a = divide(r, 1 + (p + abs(b)) * (p + abs(b)))
    return ((a, a, a * abs(b)),)


def by_sign(p: Any, n: Any, b: Any, r: Any) -> Any:
    """Only what is positive in sum is handed on."""
    t = p - n + b
    a = where(t > 0, divide(r, t), t * 0)
    return ((a, -a, a * b),)


def apart(p: Any, n: Any, b: Any, for_it: Any, against: Any) -> Any:
    """What speaks for goes to the positive side, what speaks against to the negative one."""
    nothing = b * 0
    return (
        (divide(for_it, p), nothing, nothing),
        (nothing, divide(against, n + abs(b)), divide(against * abs(b), n + abs(b))),
    )


OWN: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "alpha-beta": (alpha_beta, {}),
    "squared-mass": (squared_mass, {"reading": "absolute"}),
    "by-sign": (by_sign, {"reading": "signed"}),
    "apart": (apart, {"channels": 2}),
}


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of a registered policy."""
    text, how = OWN[request.param]
    backtrace_onnx.policy(request.param, **how)(text)
    yield request.param
    del POLICIES[request.param]


def _cases() -> dict[str, Case]:
    rng = generator("own policy")
    image, w = normal(rng, 1, 2, 5, 5), fixed(normal(rng, 3, 2, 3, 3))
    row, bias = normal(rng, 4, dtype=np.float64), fixed(normal(rng, 3, dtype=np.float64))
    table = normal(rng, 3, 4, dtype=np.float64)
    statistics = [fixed(np.abs(normal(rng, 2)) + 0.5) for _ in range(4)]
    scales = fixed(np.array([1, 1, 1.5, 2], np.float32))
    return {
        "Gemm": one("Gemm", table, fixed(normal(rng, 4, 3, dtype=np.float64)), bias, alpha=-2.0),
        "MatMul": one("MatMul", table, normal(rng, 2, 4, 2, dtype=np.float64)),
        "Einsum": one("Einsum", table, normal(rng, 2, 4, dtype=np.float64), equation="ij,kj->ik"),
        "Conv": one("Conv", image, w, fixed(normal(rng, 3)), strides=[2, 2], pads=[1, 0, 0, 1]),
        "ConvTranspose": one("ConvTranspose", normal(rng, 1, 3, 2, 2), w, strides=[2, 2]),
        "AveragePool": one("AveragePool", image, kernel_shape=[2, 3]),
        "GlobalAveragePool": one("GlobalAveragePool", image),
        "BatchNormalization": one("BatchNormalization", image, *statistics),
        "ReduceMean": one("ReduceMean", table, fixed([1])),
        "CumSum": one("CumSum", table, fixed(np.array(0))),
        "cubic Resize": one("Resize", image, None, scales, mode="cubic"),
        "GridSample": one("GridSample", image, fixed(rng.uniform(-1, 1, (1, 2, 3, 2)), np.float32)),
        "Add": one("Add", table, row),
        "Sub": one("Sub", table, fixed(row)),
    }


@pytest.mark.parametrize("name", _cases())
def test_over_every_structure(name: str, own: str, tmp_path: Path) -> None:
    jointly = name in ("Add", "Sub")
    case = _cases()[name]
    tolerance = 1e-4 if case.y.dtype == np.float32 else 1e-9
    check_linear(case, (own,), jointly=jointly, tolerance=tolerance, compiled=tmp_path)


def test_over_what_no_policy_shares(own: str) -> None:
    """What passes or goes to a winner does so under any policy."""
    x = normal(generator("passes"), 2, 3)
    case = chained(x, link("Exp"), link("ReduceMax", fixed([1])), link("Neg"))
    r = starts(case, own)
    got = case.explain(own, r)
    assert np.allclose(got.positive["x0"], r[0] * (x == x.max(1, keepdims=True)))


def test_on_batches(own: str, tmp_path: Path) -> None:
    rng = generator("own batch")
    w, b = fixed(normal(rng, 4, 3)), fixed(normal(rng, 3))
    check_batch(one("Gemm", normal(rng, 3, 4), w, b, dynamic=True), own, tmp_path)


def test_a_name_is_taken_once(own: str) -> None:
    with pytest.raises(backtrace_onnx.RuleError, match=own):
        backtrace_onnx.policy(own)(alpha_beta)


WEIGHT = 0.5


def weighted(x: Any, by: float = 2.0) -> Any:
    return WEIGHT * by * x


def everything(p: Any, n: Any, b: Any, r: Any) -> Any:
    """All the words there are, and a helper."""
    mass = weighted(p**2 + 1) + 2 * n - (-abs(b)) * 3
    low = (p < 0.5) ^ (n >= 1)
    share = where(low & (p != 1) | (b == 2), 1 - divide(1, 1 + mass), 1 / (1 + mass))
    a = divide(share * r, p + n)
    return ((a, a, r - a * (p + n)),)


def gamma(g: float) -> Callable[..., Any]:
    def shares(p: Any, n: Any, b: Any, r: Any) -> Any:
        a = divide(r, (1 + g) * p + n + abs(b))
        return (((1 + g) * a, a, a * abs(b)),)

    return shares


@pytest.fixture
def registered() -> Iterator[Callable[..., str]]:
    """Registers policies for one test."""
    names: list[str] = []

    def register(text: Callable[..., Any], **how: Any) -> str:
        names.append(f"own-{len(names)}")
        backtrace_onnx.policy(names[-1], **how)(text)
        return names[-1]

    yield register
    for name in names:
        del POLICIES[name]


def _gemm() -> Case:
    rng = generator("identity")
    return one("Gemm", normal(rng, 2, 4), fixed(normal(rng, 4, 3)), fixed(normal(rng, 3)))


def _expected(case: Case, text: Callable[..., Any], r: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What reaches x0 of a Gemm, unit by unit in plain Python."""
    weight, bias = (numpy_helper.to_array(t) for t in case.proto.graph.initializer)
    x = case.feeds["x0"]
    out = np.zeros_like(x)
    for s, j in np.ndindex(r.shape):
        c = x[s] * weight[:, j]
        plus, minus = np.maximum(c, 0), np.maximum(-c, 0)
        masses = float(plus.sum()), float(minus.sum()), float(bias[j])
        ((a, d, _),) = text(*masses, float(r[s, j]))
        out[s] += a * plus + d * minus
    return out


def test_policies_of_one_factory_are_not_one(registered: Any) -> None:
    case, texts = _gemm(), [gamma(0.25), gamma(5.0)]
    (r,) = starts(case, "default")
    for text in texts:
        found = case.explain(registered(text), (r,)).positive["x0"]
        assert np.allclose(found, _expected(case, text, r), rtol=1e-4, atol=1e-6)


def test_a_global_that_changes_changes_the_policy(
    registered: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through a helper; and all words of a policy, in both engines and compiled."""
    case, name = _gemm(), registered(everything)
    (r,) = starts(case, "default")
    found = []
    for weight in (0.5, 7.0):
        monkeypatch.setitem(globals(), "WEIGHT", weight)
        made = case.explain(name, (r,))
        assert np.allclose(
            made.positive["x0"], _expected(case, everything, r), rtol=1e-4, atol=1e-6
        )
        check_compiled(case, name, (r,), made, tmp_path)
        found.append(made.positive["x0"])
    assert not np.allclose(*found, rtol=0.05)


@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid"])
def test_a_gate_shuts_both_channels_in_both_engines(
    activation: str, registered: Any, tmp_path: Path
) -> None:
    name, rng = registered(apart, channels=2, gated=True), generator("gate")
    weight, bias = fixed(3 * normal(rng, 4, 6)), fixed(normal(rng, 6))
    case = chained(normal(rng, 3, 4), link("Gemm", weight, bias), link(activation))
    open_name = registered(apart, channels=2)
    r = starts(case, name)
    made, without = case.explain(name, r), case.explain(open_name, r)
    assert not np.allclose(made.positive["x0"], without.positive["x0"])
    check_ledger(made)
    check_compiled(case, name, r, made, tmp_path)


CONSTANTS: dict[str, Any] = {
    "float32": np.float32(0.5),
    "float64": np.float64(0.5),
    "float16": np.float16(0.5),
    "int64": np.int64(2),
    "bool": np.bool_(True),
    "array": np.array(0.5),
    "array of float32": np.array(0.5, np.float32),
    "True": True,
}
TABLE = {"factor": 2.0}
LIST = [0.5, [2.0]]


class Settings:
    factor = 2.0

    def doubled(self) -> float:
        return 2 * self.factor


def keyword(p: Any, n: Any, b: Any, r: Any, *, by: Any = 2.0) -> Any:
    return ((by * r, r, b),)


TRUTHS: dict[str, Callable[..., Any]] = {
    "times": lambda p, n, b, r: ((divide(r, p + n) * (p > 1), r, b),),
    "times on the left": lambda p, n, b, r: (((p > 1) * r, (p != 0) * p, b),),
    "or": lambda p, n, b, r: (((p > 1) | (p < 0.5), r, b),),
    "exclusive or": lambda p, n, b, r: (((p > 1) ^ (p < 0.5), r, n > 1),),
    "and a number": lambda p, n, b, r: (((p > 0) & True, 1 | (p > 0), 0 ^ (n > 1)),),
    "True times": lambda p, n, b, r: ((True * p, True + r, False - b),),
    "between themselves": lambda p, n, b, r: (
        ((p > 1) - (p > 2), (p > 1) + (p > 0.3), (p > 1) * (n > 1)),
    ),
    "signs": lambda p, n, b, r: ((-(p > 1), +(n > 1), abs(n > 0.4)),),
    "over": lambda p, n, b, r: (((p > 1) / 2, (n > 1) / (1 + p), divide(n > 1, p)),),
    "under": lambda p, n, b, r: ((r / (1 + (p > 1)), divide(r, n > 1), divide(1, p > 1)),),
    "powers": lambda p, n, b, r: (((p > 1) ** 2, 2 ** (p > 1), (1 + p) ** (n > 1)),),
    "compared": lambda p, n, b, r: (
        ((p > 1) == (n > 1), (p > 1) < (n > 1), ((p > 1) != True) >= 0.5),  # noqa: E712
    ),
    "chosen": lambda p, n, b, r: (
        (where(p > 1, n > 1, 0), where(p > 1, n > 1, n < 0.5) & (p > 0), where(p, n, True)),
    ),
    "dict": lambda p, n, b, r: ((TABLE["factor"] * r, r, b),),
    "list": lambda p, n, b, r: ((LIST[0] * r, LIST[1][0] * r, b),),
    "class": lambda p, n, b, r: ((Settings.factor * r, Settings().doubled() * r, b),),
    "keyword": keyword,
    "bool": lambda p, n, b, r: ((True, False, p > 0),),
}


def with_constant(v: Any) -> Callable[..., Any]:
    return lambda p, n, b, r: ((v * r * divide(v, p), where(p > v, n + v, v), b - v / 2),)


@pytest.mark.parametrize("how", [{}, {"gated": True}], ids=["open", "gated"])
@pytest.mark.parametrize("name", [*TRUTHS, *CONSTANTS])
def test_pythons_arithmetic_in_both_engines(
    name: str, how: dict[str, Any], registered: Any, tmp_path: Path
) -> None:
    """Truths are 1 and 0, and NumPy's numbers and what is looked up are numbers."""
    constant = CONSTANTS.get(name, np.float64(0))
    text = TRUTHS.get(name) or with_constant(constant)
    exact = TRUTHS.get(name) or with_constant(getattr(constant, "item", lambda: constant)())
    case, own = _gemm(), registered(text, **how)
    (r,) = starts(case, "default")
    made = case.explain(own, (r,))
    assert np.allclose(made.positive["x0"], _expected(case, exact, r), rtol=1e-4, atol=1e-6)
    check_ledger(made)
    check_compiled(case, own, (r,), made, tmp_path)


def test_what_a_class_holds_belongs_to_the_policy(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, own = _gemm(), registered(TRUTHS["class"])
    (r,) = starts(case, own)
    for factor in (2.0, 5.0):
        monkeypatch.setattr(Settings, "factor", factor)
        found = case.explain(own, (r,)).positive["x0"]
        assert np.allclose(found, _expected(case, TRUTHS["class"], r), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", ["much", None])
def test_what_is_no_number_any_more_is_told(
    factor: Any, registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, own = _gemm(), registered(TRUTHS["dict"])
    monkeypatch.setitem(TABLE, "factor", factor)
    with pytest.raises(backtrace_onnx.RuleError, match=f"policy '{own}': it (calc|fails)"):
        case.explain(own, starts(case, "default"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_in_every_precision(dtype: Any, registered: Any, tmp_path: Path) -> None:
    rng = generator("precision")
    case = one("Gemm", normal(rng, 2, 4, dtype=dtype), fixed(normal(rng, 4, 3, dtype=dtype)))
    own = registered(with_constant(np.float64(0.5)))
    r = starts(case, own)
    check_compiled(case, own, r, case.explain(own, r), tmp_path)


def test_truths_of_two_channels(registered: Any, tmp_path: Path) -> None:
    def sides(p: Any, n: Any, b: Any, one: Any, other: Any) -> Any:
        return (((p > n) * one, n > 1, 0), (p > 1, -(n > p) * other, b > 0))

    case = _gemm()
    for how in ({}, {"gated": True}):
        own = registered(sides, channels=2, **how)
        r = starts(case, own)
        check_compiled(case, own, r, case.explain(own, r), tmp_path)


def test_what_is_looked_up_belongs_to_the_policy(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, own = _gemm(), registered(TRUTHS["dict"])
    (r,) = starts(case, own)
    for factor in (2.0, 5.0):
        monkeypatch.setitem(TABLE, "factor", factor)
        found = case.explain(own, (r,)).positive["x0"]
        assert np.allclose(found, _expected(case, TRUTHS["dict"], r), rtol=1e-4, atol=1e-6)
