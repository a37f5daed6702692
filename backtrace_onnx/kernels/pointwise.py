"""One function of the entries at a place of several arrays, at every place; all are flat.

The function is bound by `kernels.jit.fused`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtrace_onnx.kernels.jit import unbound

function: Callable[..., Any] = unbound


def of_two(tag: str) -> Callable[..., Any]:
    """Template: out = function(a, b)."""

    def of_two(a, b, out):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        for i in range(out.size):
            out[i] = function(a[i], b[i])

    return of_two


def of_three(tag: str) -> Callable[..., Any]:
    """Template: out = function(a, b, c)."""

    def of_three(a, b, c, out):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        for i in range(out.size):
            out[i] = function(a[i], b[i], c[i])

    return of_three


TEMPLATES = {2: of_two, 3: of_three}
"""By how many arrays there are."""
