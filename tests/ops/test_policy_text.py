"""What two functions must compute to be one policy, and what keeps them apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backtrace_onnx.ops.policy_text import identify, written
from backtrace_onnx.policies import divide, find_policy, where

FACTOR = 2.0


def scaled(x: Any) -> Any:
    return FACTOR * x


def helped(p: Any, n: Any, b: Any, r: Any) -> Any:
    return (((lambda y: scaled(y))(r), r, b),)


def factory(k: Any) -> Callable[..., Any]:
    return lambda p, n, b, r: ((k * r, where(p > 1, r, n), divide(r, p)),)


def with_default(k: Any) -> Callable[..., Any]:
    def made(p: Any, n: Any, b: Any, r: Any, y: Any = k) -> Any:
        return ((r * y, r, b),)

    return made


@pytest.mark.parametrize("make", [factory, with_default])
def test_what_a_factory_holds_tells_its_functions_apart(make: Any) -> None:
    assert identify(make(0.25), 1) == identify(make(0.25), 1)
    assert len({identify(make(k), 1) for k in (0.25, 5.0, 5, -0.0, 0.0, float("nan"))}) == 6


def test_globals_count_through_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identify(helped, 1)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert identify(helped, 1) != before
    monkeypatch.undo()
    assert identify(helped, 1) == before


def test_the_packages_own_are_apart() -> None:
    own = [find_policy(name) for name in ("default", "contrastive", "epsilon(absolute=1e-6)")]
    assert len({identify(p.coefficients, p.channels) for p in own}) == 3


def test_what_a_function_does_without_a_bias_counts() -> None:
    """A graph is written without what is not there."""

    def branches(p: Any, n: Any, b: Any, r: Any) -> Any:
        return ((r if isinstance(b, float) else 2 * r, r, b),)

    def never(p: Any, n: Any, b: Any, r: Any) -> Any:
        return ((2 * r, r, b),)

    assert identify(branches, 1) != identify(never, 1)


@pytest.mark.parametrize("name", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_the_text_computes_the_same(name: str) -> None:
    policy = find_policy(name)
    text = written(policy.coefficients, policy.channels)
    for given in (
        (3.0, 1.0, -4.0, 16.0, 2.0),
        (0.0, 0.5, 0.0, 1.0, 3.0),
        (0.0, 0.0, 0.0, 1.0, 1.0),
    ):
        numbers = given[: 3 + policy.channels]
        assert text(*numbers) == policy.coefficients(*numbers)


def test_other_processes_say_the_same() -> None:
    code = (
        "from backtrace_onnx.policies import find_policy as f; "
        "print(*[f(n).identity for n in ('default', 'contrastive')])"
    )
    here = [
        identify(find_policy(n).coefficients, c) for n, c in (("default", 1), ("contrastive", 2))
    ]
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == here
