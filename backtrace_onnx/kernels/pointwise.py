"""One function of the entries at a place of several arrays, at every place; all are flat.

The function is bound by `kernels.jit.fused`, and the template written out for so many arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtrace_onnx.kernels.channels import CHANNELS
from backtrace_onnx.kernels.jit import unbound

function: Callable[..., Any] = unbound


def everywhere(tag: str) -> Callable[..., Any]:
    """Template: out = function(*arrays)."""

    def everywhere(arrays, out):  # type: ignore[no-untyped-def]
        tag  # noqa: B018  (part of the cache's key)
        own = entry = CHANNELS
        for k in CHANNELS:
            own[k] = arrays[k]
        for i in range(out.size):
            for k in CHANNELS:
                entry[k] = own[k][i]
            out[i] = function(*entry)

    return everywhere


__all__ = ["everywhere"]
