"""Paths and names as callers give them, refused by name where they are something else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backtrace_onnx.errors import RequestError


def path_of(given: Any, what: str) -> Path:
    """A path. Raises RequestError for what is none, such as a data frame."""
    if isinstance(given, str | os.PathLike):
        return Path(given)
    raise RequestError(f"{what} is a path, not {_kind(given)}")


def texts_of(given: Any, what: str) -> tuple[str, ...]:
    """One name or path, or several. Raises RequestError for what is none, such as a data frame."""
    if isinstance(given, str | os.PathLike):
        return (os.fspath(given),)
    several = isinstance(given, Iterable) and not hasattr(given, "columns")
    items: list[Any] = list(given) if several else [given]
    for item in items:
        if not isinstance(item, str | os.PathLike):
            raise RequestError(f"{what}: a text or path, or a list of them, not {_kind(item)}")
    return tuple(os.fspath(item) for item in items)


def _kind(given: Any) -> str:
    return "None" if given is None else f"a {type(given).__name__}"


__all__ = ["path_of", "texts_of"]
