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
from tests.support import (
    Case,
    check_batch,
    check_compiled,
    check_ledger,
    check_linear,
    fixed,
    generator,
    link,
    normal,
    one,
    starts,
)
from tests.support import chain as chained


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


def test_what_numba_cannot_compile_names_the_policy(registered: Any) -> None:
    table = {"factor": 2.0}

    def looks_up(p: Any, n: Any, b: Any, r: Any) -> Any:
        a = divide(table["factor"] * r, p + n)
        return ((a, a, b * 0),)

    case, name = _gemm(), registered(looks_up)
    with pytest.raises(backtrace_onnx.RuleError, match=f"policy '{name}': Numba cannot compile"):
        case.explain(name, starts(case, name))
