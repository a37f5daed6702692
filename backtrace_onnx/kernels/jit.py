"""The one place that sets Numba's compile options and its cache."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba.extending import overload

from backtrace_onnx import policies

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "nsz", "contract"},
    "nogil": True,
}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop; its machine code is cached on disk where a folder can be written."""
    try:
        compiled = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        compiled = numba.njit(**OPTIONS)(function)
    result: Callable[..., Any] = compiled
    return result


@cache
def specialise(
    template: Callable[[str], Callable[..., Any]],
    coefficients: Callable[..., Any],
    **words: Callable[..., Any],
) -> Callable[..., Any]:
    """The kernel `template(tag)` with its global name `coefficients` bound to a policy's function.

    Other global names it calls can be bound to kernels, too: `words`.

    Numba's cache knows a function by its code and closure, not by its globals: the tag, a digest
    of the policy's code held in the closure, keeps the machine code of two policies apart.
    """
    code = coefficients.__code__
    digest = hashlib.sha256(
        repr((code.co_code, code.co_consts, code.co_names)).encode()
    ).hexdigest()
    loop = template(digest)
    scalar = numba.njit(**OPTIONS)(coefficients)
    bound = types.FunctionType(
        loop.__code__,
        {**loop.__globals__, **words, "coefficients": scalar},
        f"{loop.__name__}_{coefficients.__name__}",
        None,
        loop.__closure__,
    )
    return kernel(bound)


@overload(policies.where)
def _where(condition, yes, no):  # type: ignore[no-untyped-def]
    kind = yes if isinstance(yes, numba.types.Float) else no
    return lambda condition, yes, no: kind(yes) if condition else kind(no)


@overload(policies.divide)
def _divide(r, mass):  # type: ignore[no-untyped-def]
    smallest, kind = policies.SMALLEST_MASS, r
    return lambda r, mass: r / mass if abs(mass) >= smallest else kind(0)
