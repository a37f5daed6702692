"""The one place that sets Numba's compile options and its cache."""

from __future__ import annotations

import hashlib
import re
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from backtrace_onnx.kernels.channels import written_out
from backtrace_onnx.ops.policy import SMALLEST_MASS, Policy, divide, where
from backtrace_onnx.ops.policy_text import identify, written

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "nsz", "contract"},
    "nogil": True,
}


def unbound(*masses: Any) -> Any:
    """Stands for a policy's function in kernels that `specialise` has not bound to one."""
    raise NotImplementedError


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop; its machine code is cached on disk where a folder can be written."""
    return _compiled(function, OPTIONS)


def exact_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop that rounds as it is written, wherever it is called from."""
    return _compiled(function, {**OPTIONS, "fastmath": False})


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        compiled = numba.njit(**options)(function)
    result: Callable[..., Any] = compiled
    return result


@cache
def specialise(
    template: Callable[..., Callable[..., Any]],
    policy: Policy,
    *fixed: int | str,
    **words: Callable[..., Any],
) -> Callable[..., Any]:
    """The kernel `template(tag, *fixed)` with its global name `coefficients` bound to a policy's.

    Its loops over channels are written out for as many as the policy has.

    Other global names it calls can be bound to kernels, too: `words`. What is `fixed` is known to
    Numba while it compiles.

    Numba's cache knows a function by its code and closure, not by its globals: the tag, the
    policy's identity held in the closure, keeps the machine code of two policies apart.
    """
    tag = policy.identity or identify(policy.coefficients, policy.channels)
    loop = written_out(template, policy.channels)(tag, *fixed)
    bound = types.FunctionType(
        loop.__code__,
        {**loop.__globals__, **words, "coefficients": _scalar(policy)},
        re.sub(r"\W", "_", f"{loop.__name__}_{policy.coefficients.__name__}"),
        None,
        loop.__closure__,
    )
    return kernel(bound)


@cache
def fused(template: Callable[..., Any], arrays: int, text: str, kind: str) -> Callable[..., Any]:
    """Compile a template for so many arrays, with `function` bound to the one that a text defines;
    it rounds as it is written.

    Args:
        kind: the dtype of the text's numbers, whose type it calls `kind`.
    """
    space: dict[str, Any] = {"kind": np.dtype(kind).type}
    exec(compile(text, "<pointwise>", "exec"), space)  # of names and numbers only
    options = {**OPTIONS, "fastmath": False}
    loop = written_out(template, arrays)(hashlib.sha256(f"{kind} {text}".encode()).hexdigest())
    words = {**loop.__globals__, "function": numba.njit(**options)(space["function"])}
    bound = types.FunctionType(loop.__code__, words, loop.__name__, None, loop.__closure__)
    return _compiled(bound, options)


def _scalar(policy: Policy) -> Callable[..., Any]:
    """A policy's function, compiled."""
    text = written(policy.coefficients, policy.channels)
    compiled: Callable[..., Any] = numba.njit(**OPTIONS)(text)
    return compiled


@overload(where)
def _where(condition, yes, no):  # type: ignore[no-untyped-def]
    kind = yes if isinstance(yes, numba.types.Float) else no
    return lambda condition, yes, no: kind(yes) if condition else kind(no)


@overload(divide)
def _divide(r, mass):  # type: ignore[no-untyped-def]
    smallest, kind = SMALLEST_MASS, r
    return lambda r, mass: r / mass if abs(mass) >= smallest else kind(0)
