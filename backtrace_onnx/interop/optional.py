"""Libraries that are not required: imported when their object is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backtrace_onnx.errors import RequestError


def need(library: str, what: str) -> Any:
    """A library. Raises RequestError with the pip line that installs it."""
    try:
        return import_module(library)
    except ImportError:
        raise RequestError(
            f"{what} needs {library}, which is not installed. Type: pip install {library}"
        ) from None


__all__ = ["need"]
