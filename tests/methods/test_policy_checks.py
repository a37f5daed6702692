"""What a policy must be is said when it is registered."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import backtrace_onnx
from backtrace_onnx import RuleError
from backtrace_onnx.methods.policy_checks import check_policy
from backtrace_onnx.policies import POLICIES, divide, find_policy, where


def shares(p: Any, n: Any, b: Any, r: Any) -> Any:
    a = divide(r, p + n + abs(b))
    return ((a, a, a * abs(b)),)


def refused(text: Any, message: str, name: Any = "mine", **how: Any) -> None:
    with pytest.raises(RuleError, match=message):
        backtrace_onnx.policy(name, **how)(text)
    assert name not in POLICIES


@pytest.mark.parametrize("name", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_the_packages_own_are_what_they_must_be(name: str) -> None:
    check_policy(find_policy(name))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reading": "sgined"}, "reading is one of 'absolute', 'signed', 'split', not 'sgined'"),
        ({"channels": 3}, "channels is 1 or 2, not 3"),
        ({"channels": True}, "channels is 1 or 2, not True"),
        ({"channels": "2"}, "channels is 1 or 2, not '2'"),
        ({"gated": 1}, "gated is True or False, not 1"),
        ({"channels": 2}, "called with 5 arguments, .p, n, b, r_for, r_against."),
    ],
)
def test_options(how: dict[str, Any], message: str) -> None:
    refused(shares, f"'mine'.*{message}", **how)


@pytest.mark.parametrize("name", ["", " mine", "a\nb", "\x1b[31m", 3])
def test_names(name: Any) -> None:
    refused(shares, "name is a short printable text", name=name)


@pytest.mark.parametrize("function", [max, shares.__call__, None, "default", math.sqrt])
def test_what_is_no_plain_function(function: Any) -> None:
    refused(function, "a plain Python function, not")


TEXTS: dict[str, Callable[..., Any]] = {
    r"called with 4 arguments, \(p, n, b, r\)": lambda p, n, b: ((0.0, 0.0, 0.0),),
    r"divides by zero for p=0, n=0, b=0, r=0; use `divide`": lambda p, n, b, r: (
        (r / p, r / p, b * 0),
    ),
    r"fails for p=0.* ValueError": lambda p, n, b, r: ((math.log(p), r, b),),
    r"returns (nan|inf) for p=.*finite number": lambda p, n, b, r: ((r * math.inf, r, b),),
    r"returns the tuple \(\(aP, aN, to_bias\),\), not \[": lambda p, n, b, r: [(r, r, b)],
    r"returns the tuple .*not \(.*, .*, .*\)": lambda p, n, b, r: (r, r, b),
    r"returns the tuple .*not None": lambda p, n, b, r: None,
    r"returns None for p=": lambda p, n, b, r: ((r, None, b),),
    r"written as ONNX nodes .*real number": lambda p, n, b, r: ((math.exp(-p) * r, r * 0, b * 0),),
    r"&.*between comparisons, not": lambda p, n, b, r: (((2 * (p > 1)) & (p > 0), r, b),),
    r"unary ~": lambda p, n, b, r: ((~(p > 1), r, b),),
    r"calculates with Fraction": lambda p, n, b, r: ((Fraction(1, 2) * r, r, b),),
    r"`if`, `and`": lambda p, n, b, r: ((r if p > n else 0 * r, 0 * r, 0 * r),),
}


@pytest.mark.parametrize("message", TEXTS)
def test_what_functions_do_and_return(message: str) -> None:
    refused(TEXTS[message], f"policy 'mine': .*({message})")


def test_numbers_of_numpy_that_divide_by_zero_are_told() -> None:
    half = np.float64(0.5)
    refused(lambda p, n, b, r: ((half / p, r, b),), "returns inf for p=0")


def test_a_list_of_numbers_is_no_number() -> None:
    several = np.array([0.5, 1.0])
    refused(lambda p, n, b, r: ((several * r, r, b),), "returns array.*a finite number is needed")


def test_a_reading_that_the_function_does_not_keep_to() -> None:
    def sides(p: Any, n: Any, b: Any, r: Any) -> Any:
        return ((divide(r, p), 0 * r, 0 * r),)

    refused(sides, "reading='absolute' means aN == aP.*use reading='split'", reading="absolute")
    refused(sides, "reading='signed' means aN == -aP", reading="signed")


def test_two_channels_are_both_needed() -> None:
    def one(p: Any, n: Any, b: Any, r_for: Any, r_against: Any) -> Any:
        return ((where(p > n, r_for, r_against), 0 * b, 0 * b),)

    refused(one, r"tuple \(\(aP, aN, to_bias\), \(aP, aN, to_bias\)\)", channels=2)
