"""Policies: the scalar text itself, and one of a user's own over a whole model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import backtrace_onnx
from backtrace_onnx import Explainer, RequestError, RuleError
from backtrace_onnx.policies import (
    POLICIES,
    contrastive,
    default,
    divide,
    find_policy,
)
from tests.graphs import check_closed, mlp, normal

X = normal(3, 4, seed=5)


def test_default_shares_by_magnitude_and_the_bias_takes_its_share() -> None:
    ((a, c, z),) = default(3.0, 1.0, -4.0, 16.0)
    assert (a, c, z) == (2.0, 2.0, 8.0)
    assert default(0.0, 0.0, 0.0, 5.0) == ((0.0, 0.0, 0.0),)


@pytest.mark.parametrize(
    ("p", "n", "b", "r", "wanted"),
    [
        (4, 0, 0, (8, 2), ((2, 0), (0.5, 0))),  # only positive contributions
        (0, 4, 0, (8, 2), ((0, 2), (0, 0.5))),  # only negative ones
        (4, 2, 0, (8, 2), ((2, 0), (0, 1))),  # T > 0 and R+ > R-: keep
        (2, 4, 0, (2, 8), ((1, 0), (0, 2))),  # T < 0 and R+ < R-: keep
        (4, 2, 0, (2, 8), ((0, 1), (2, 0))),  # T > 0 otherwise: swap
        (4, 2, 0, (8, 8), ((0, 4), (2, 0))),  # a tie: swap
        (2, 4, 0, (8, 2), ((0, 2), (1, 0))),  # T < 0 otherwise: swap
        (4, 4, 0, (8, 2), ((0, 0), (0, 0))),  # T = 0
        (4, 2, -2, (8, 2), ((0, 0), (0, 0))),  # T = 0 by its bias
        (0, 0, 3, (8, 2), ((0, 0), (0, 0))),  # no terms
    ],
)
def test_contrastive_is_the_methods_table(
    p: float, n: float, b: float, r: tuple[float, float], wanted: Any
) -> None:
    made = contrastive(float(p), float(n), float(b), *map(float, r))
    assert tuple((a, c) for a, c, _ in made) == wanted
    assert all(z == 0 for _, _, z in made)


def test_epsilon_shares_by_sign() -> None:
    for text, size in (("epsilon(absolute=1e-6)", 1e-6), ("epsilon(absolute=0.5)", 0.5)):
        epsilon = find_policy(text).coefficients
        ((a, c, z),) = epsilon(3.0, 1.0, 2.0, 8.0)
        assert a == 8 / (4 + size)
        assert (c, z) == (-a, 2 * a)
        ((a, _, _),) = epsilon(1.0, 3.0, 0.0, 8.0)
        assert a == 8 / (-2 - size)


def test_nothing_divided_by_nothing_is_nothing() -> None:
    assert divide(5.0, 0.0) == 0
    assert divide(6.0, 3.0) == 2


@pytest.fixture
def squares() -> Iterator[None]:
    @backtrace_onnx.policy("squares")
    def squares(p: Any, n: Any, b: Any, r: Any) -> Any:
        a = divide(r, p * p + n * n + b * b)
        return ((a * p, a * n, a * b * b),)

    yield
    del POLICIES["squares"]


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_policy_of_ones_own_works_in_both_engines(squares: None, engine: Any) -> None:
    found = Explainer(mlp(), engine=engine).explain(X, mode="squares")
    assert found.mode == "squares"
    check_closed(found)
    assert not np.allclose(found.relevance["x"], Explainer(mlp()).explain(X).relevance["x"])


def test_a_name_can_be_taken_once(squares: None) -> None:
    for name in ("squares", "default"):
        with pytest.raises(RuleError, match=f"{name!r} exists already; choose another name"):
            backtrace_onnx.policy(name)(default)


def test_an_unknown_policy_lists_the_others(squares: None) -> None:
    with pytest.raises(RequestError, match=r"contrastive, .*default, .*epsilon, .*squares"):
        find_policy("square")
