"""What two functions must share to be one policy, and what keeps them apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import identity
from backtrace_onnx.identity import fingerprint

FACTOR = 2.0
TABLE = np.array([1.0, 2.0])


def scaled(x: Any) -> Any:
    return FACTOR * x


def calls(x: Any) -> Any:
    return scaled(x) + 1


def calls_by_calls(x: Any) -> Any:
    return (lambda y: calls(y))(x)


def reads(x: Any) -> Any:
    return x * TABLE[0] if x in {"a", "b"} else x


def of_module(x: Any) -> Any:
    return identity.fingerprint(x)


def recursive(x: Any) -> Any:
    return x if x < 1 else recursive(x - 1)


def factory(k: Any, *, step: float = 1.0) -> Any:
    return lambda x: k * x + step


def with_default(k: float) -> Any:
    def made(x: Any, y: float = k) -> Any:
        return x * y

    return made


@pytest.mark.parametrize("make", [factory, with_default])
def test_what_a_factory_holds_tells_its_functions_apart(make: Any) -> None:
    assert fingerprint(make(0.25)) == fingerprint(make(0.25))
    assert len({fingerprint(make(k)) for k in (0.25, 5.0, 5, True, -0.0, 0.0)}) == 6


def test_functions_in_closures_count() -> None:
    assert fingerprint(factory(scaled)) == fingerprint(factory(scaled))
    assert fingerprint(factory(scaled)) != fingerprint(factory(calls))
    arrays = [factory(np.array(values)) for values in ([1.0, 2.0], [1.0, 2.0], [1.0, 3.0])]
    assert [fingerprint(arrays[0]) == fingerprint(a) for a in arrays] == [True, True, False]


@pytest.mark.parametrize("function", [scaled, calls, calls_by_calls])
def test_globals_count_through_helpers(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(function)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert fingerprint(function) != before
    monkeypatch.undo()
    assert fingerprint(function) == before


def test_what_is_read_from_a_module_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(of_module)
    monkeypatch.setattr(identity, "fingerprint", scaled)
    assert fingerprint(of_module) != before


def test_a_documentation_string_does_not_count() -> None:
    texts = ('def f(x):\n    "one"\n    return x + 1', 'def f(x):\n    "two"\n    return x + 1')
    made = []
    for text in texts:
        names: dict[str, Any] = {}
        exec(text, names)
        made.append(fingerprint(names["f"]))
    assert made[0] == made[1]


def test_other_processes_say_the_same() -> None:
    """Whatever the seed of hashes, which orders sets."""
    names = ("calls_by_calls", "reads", "of_module", "recursive")
    code = (
        "from tests import test_identity as t; from backtrace_onnx.identity import fingerprint; "
        f"print(*[fingerprint(getattr(t, n)) for n in {names}])"
    )
    here = [fingerprint(globals()[name]) for name in names]
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.split() == here
