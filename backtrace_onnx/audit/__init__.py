"""Whether a model's reasons are sound and what they were: a model, rows of data and settings enter.

A report of checks leaves, with a baseline to compare the next model with.
It never knows how relevance is computed, nor stops anything itself: exit codes are the commands'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backtrace_onnx.errors import RequestError

if TYPE_CHECKING:
    from backtrace_onnx.audit.calls import audit, compare

__all__ = ["audit", "compare"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    try:
        from backtrace_onnx.audit import calls
    except ModuleNotFoundError as error:
        if error.name not in ("pydantic", "scipy"):
            raise
        raise RequestError(
            f"an audit needs {error.name}: pip install 'backtrace-onnx[audit]'"
        ) from None
    return getattr(calls, name)
