"""Optional packages, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backtrace_onnx.errors import ExportError


def need(module: str, extra: str, doing: str) -> Any:
    """The imported module. Raises ExportError with the pip line that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.partition(".")[0]):
            raise
        package = module.partition(".")[0]
        raise ExportError(
            f"{doing} needs {package}, which is not installed. "
            f"Type: pip install 'backtrace-onnx[{extra}]'"
        ) from None
