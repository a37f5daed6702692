"""A policy that a user writes works over every structure, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx
from backtrace_onnx.policies import POLICIES, divide, where
from tests.support import (
    Case,
    check_batch,
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
