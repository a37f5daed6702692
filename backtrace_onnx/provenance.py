"""Where an explanation comes from: model, versions and options, for it to be computed again."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_PACKAGES = ("numpy", "onnx", "onnxruntime", "numba")


def origin_of(model: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The origin: `model`, `versions`, `machine`, `options` and `lost`; JSON values but for arrays.

    Args:
        model: what the explainer says of the model and of itself.
        told: arguments of `explain`. Those that cannot be written down are named in `lost`.
    """
    options: dict[str, Any] = {}
    lost = []
    for name, value in told.items():
        if value is None or name == "tokenizer":  # inputs are kept as arrays
            continue
        try:
            options[name] = _written(value)
        except TypeError:
            lost.append(name)
    return {
        "model": dict(model),
        "versions": dict(versions()),
        "machine": machine(),
        "options": options,
        "lost": lost,
    }


@cache
def versions() -> Mapping[str, str]:
    """Of this software, and of what it computes with."""
    own: str = import_module("backtrace_onnx").__version__  # which itself knows this module
    return {"backtrace-onnx": own, **{name: version(name) for name in _PACKAGES}}


@cache
def machine() -> str:
    """System and processor, which decide last digits."""
    return f"{platform.system()} {platform.machine()}"


def options_of(origin: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an origin, as `explain` takes them."""
    return {name: _read(value) for name, value in origin["options"].items()}


def record(origin: Mapping[str, Any]) -> dict[str, Any]:
    """The origin as JSON values, with a hash and the shape of every array."""

    def told(array: Array) -> dict[str, Any]:
        found = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return {"array": found, "dtype": str(array.dtype), "shape": list(array.shape)}

    made: dict[str, Any] = with_arrays(dict(origin), told)
    return made


def with_arrays(value: Any, change: Callable[[Array], Any]) -> Any:
    """An origin, or a part of it, with something else in place of {"array": ...}."""
    if isinstance(value, Mapping):
        if isinstance(value.get("array"), np.ndarray):
            return change(value["array"])
        return {key: with_arrays(part, change) for key, part in value.items()}
    return [with_arrays(part, change) for part in value] if isinstance(value, list) else value


def _written(value: Any) -> Any:
    """A value as JSON. Raises TypeError for one that has no such form."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return {"array": value.copy()}
    if isinstance(value, tuple):
        return {"tuple": [_written(part) for part in value]}
    if isinstance(value, list):
        return [_written(part) for part in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"by_name": {key: _written(part) for key, part in value.items()}}
    path = getattr(value, "path", None)  # a sidecar, a tokenizer
    if isinstance(path, Path) and path.suffix == ".json":
        return str(path)
    raise TypeError


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(part) for part in value]
    if isinstance(value, Mapping):
        if "array" in value:
            return value["array"]
        if "tuple" in value:
            return tuple(_read(part) for part in value["tuple"])
        return {key: _read(part) for key, part in value["by_name"].items()}
    return value


__all__ = ["machine", "options_of", "origin_of", "record", "versions", "with_arrays"]
