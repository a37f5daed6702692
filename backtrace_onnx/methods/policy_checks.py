"""What a policy must be, checked when it is registered."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from itertools import product
from math import isfinite
from typing import Any, get_args

import numpy as np

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Sign, Symbol
from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.policy import Policy, Reading
from backtrace_onnx.ops.policy_scalars import Scalar, number, plain

_ALLOWED = (
    "it may use + - * / **, comparisons, &, |, ^, abs, and `where` and `divide` of "
    "backtrace_onnx.policies"
)
_MASSES = (0.0, 0.5, 3.0)
_BIASES = (0.0, 0.25, -2.0)
_RELEVANCES = (0.0, 1.5, -0.75)


def check_policy(policy: Policy) -> None:
    """Raises RuleError for a policy that no engine could use, in plain words."""
    _check_options(policy)
    _check_signature(policy)
    for masses in _probes(policy):
        _check_numbers(policy, masses)
    _check_symbols(policy)


def _check_options(policy: Policy) -> None:
    name, channels, reading = policy.name, policy.channels, policy.reading
    if not isinstance(name, str) or not name.isprintable() or name != name.strip() or not name:
        raise RuleError(f"a policy's name is a short printable text, not {name!r}")
    if isinstance(channels, bool) or channels not in (1, 2):
        raise _wrong(policy, f"channels is 1 or 2, not {channels!r}")
    if reading not in get_args(Reading):
        known = ", ".join(repr(word) for word in get_args(Reading))
        raise _wrong(policy, f"reading is one of {known}, not {reading!r}")
    if not isinstance(policy.gated, bool):
        raise _wrong(policy, f"gated is True or False, not {policy.gated!r}")


def _check_signature(policy: Policy) -> None:
    function, count = policy.coefficients, 3 + policy.channels
    if not isinstance(function, types.FunctionType):
        raise _wrong(policy, f"it is a plain Python function, not {type(function).__name__}")
    try:
        inspect.signature(function).bind(*[0.0] * count)
    except TypeError as error:
        relevance = "r" if policy.channels == 1 else "r_for, r_against"
        raise _wrong(
            policy,
            f"with channels={policy.channels} it is called with {count} arguments, "
            f"(p, n, b, {relevance}): {error}",
        ) from None


def _probes(policy: Policy) -> Iterator[tuple[float, ...]]:
    """Numbers to try: masses and bias of a unit, and its relevance."""
    negative = _MASSES if policy.reading == "split" else (0.0,)
    positive = (*_MASSES, -3.0) if policy.reading == "signed" else _MASSES
    relevances = product(_RELEVANCES, repeat=policy.channels)
    for p, n, b, r in product(positive, negative, _BIASES, list(relevances)):
        yield (p, n, b, *r)


def _check_numbers(policy: Policy, given: tuple[float, ...]) -> None:
    """What the function makes of numbers: three finite ones per channel, as its reading needs."""
    where = f"for {_spelled(given)}"
    try:
        with np.errstate(all="ignore"):  # what is not finite is said below
            made = policy.coefficients(*given)
    except ZeroDivisionError:
        raise _wrong(policy, f"it divides by zero {where}; use `divide` instead of /") from None
    except Exception as error:  # it is anybody's code
        raise _wrong(policy, f"it fails {where}: {type(error).__name__}: {error}") from None
    for a, c, z in _channels(policy, made):
        a, c, z = map(plain, (a, c, z))
        for part in (a, c, z):
            if not isinstance(part, int | float) or not isfinite(part):
                raise _wrong(policy, f"it returns {part!r} {where}; a finite number is needed")
        side = {"absolute": a - c, "signed": a + c}.get(policy.reading, 0.0)
        if abs(side) > 1e-6 * max(abs(a), abs(c)):
            wanted = "aN == aP" if policy.reading == "absolute" else "aN == -aP"
            raise _wrong(
                policy,
                f"reading={policy.reading!r} means {wanted}, but it returns {a:g} and {c:g} "
                f"{where}; use reading='split'",
            )


def _check_symbols(policy: Policy) -> None:
    """The function writes ONNX nodes when it is called with tensors to be."""
    ops = EmitOps("float32", prefix="policy")
    p, n, b, *r = (Scalar(Symbol(ops, f"x{i}", Sign.ANY)) for i in range(3 + policy.channels))
    for given in ((p, n, b, *r), (p, 0.0, 0.0, *r)):
        try:
            made = policy.coefficients(*given)
        except RuleError as error:
            raise _wrong(policy, str(error)) from None
        except Exception as error:  # it is anybody's code
            raise _wrong(
                policy, f"it cannot be written as ONNX nodes ({error}); {_ALLOWED}"
            ) from None
        for part in (part for channel in _channels(policy, made) for part in channel):
            try:
                number(part)
            except RuleError:
                raise _wrong(policy, f"it returns {part!r} for a tensor; {_ALLOWED}") from None


def _channels(policy: Policy, made: Any) -> tuple[tuple[Any, Any, Any], ...]:
    """What was returned. Raises RuleError where it is not (aP, aN, to_bias) for every channel."""
    fits = (
        isinstance(made, tuple)
        and len(made) == policy.channels
        and all(isinstance(channel, tuple) and len(channel) == 3 for channel in made)
    )
    if not fits:
        one = "(aP, aN, to_bias)"
        wanted = f"({one},)" if policy.channels == 1 else f"({one}, {one})"
        raise _wrong(policy, f"it returns the tuple {wanted}, not {made!r}"[:300])
    return made  # type: ignore[no-any-return]


def _spelled(given: tuple[float, ...]) -> str:
    names = ("p", "n", "b", "r") if len(given) == 4 else ("p", "n", "b", "r_for", "r_against")
    return ", ".join(f"{name}={x:g}" for name, x in zip(names, given, strict=True))


def _wrong(policy: Policy, what: str) -> RuleError:
    return RuleError(f"policy {policy.name!r}: {what}")
