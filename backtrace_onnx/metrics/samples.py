"""What callers give a metric, read as samples: arrays, lists or data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

Array = npt.NDArray[Any]


def samples_of(given: Any, what: str) -> Array:
    """[samples, ...] of at least one sample and one entry. Raises RequestError."""
    given = given.detach() if hasattr(given, "detach") else given  # torch, with its gradient
    try:
        made = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{what} is no array [samples, ...]: {error}") from None
    if not made.ndim:
        raise RequestError(f"{what} is an array [samples, ...], not {_named(given)}")
    if not made.size:
        raise RequestError(f"{what} has nothing in it: its shape is {made.shape}")
    return made


def numbers_of(given: Any, what: str) -> Array:
    """float64[samples, entries], the entries of a sample in one row. Raises RequestError."""
    made = samples_of(given, what)
    if made.dtype.kind in "cmMUS":
        raise RequestError(f"{what} holds no numbers, but {made.dtype}")
    try:
        return made.astype(np.float64).reshape(len(made), -1)
    except (TypeError, ValueError):
        raise RequestError(f"{what} holds no numbers, but {made.dtype}") from None


def relevance_of(given: Any, x: Array) -> Array:
    """float64[samples, entries]: finite relevance, shaped like the inputs. Raises RequestError."""
    r, shape = numbers_of(given, "relevance"), np.shape(given)
    if shape != x.shape:
        raise RequestError(f"relevance is shaped like the inputs, {x.shape}, not {shape}")
    bad = np.flatnonzero(~np.isfinite(r).all(1))
    if len(bad):
        raise RequestError(f"relevance of sample {bad[0]} holds NaN or Inf")
    return r


def alike(a: Array, b: Array, what: str) -> None:
    """Raise RequestError where two are not of one shape."""
    if a.shape != b.shape:
        raise RequestError(f"{what} are of one shape, not {a.shape} and {b.shape}")


def _named(given: Any) -> str:
    return "None" if given is None else type(given).__name__


__all__ = ["alike", "numbers_of", "relevance_of", "samples_of"]
