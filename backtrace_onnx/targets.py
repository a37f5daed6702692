"""Checking what a caller asks to have explained against an output."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.policies import Policy
from backtrace_onnx.structures.base import Channels

Array = npt.NDArray[Any]


def explainable(name: str, y: Any) -> Array:
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "fV":
        kind = getattr(y, "dtype", type(y).__name__)
        raise RequestError(f"output {name!r} is {kind}, not floating point; choose another output")
    if not np.isfinite(y.astype(np.float64, copy=False)).all():
        raise InputError(
            f"output {name!r} is NaN or Inf for these inputs; there is nothing to explain"
        )
    return y


def given_start(start: Any, y: Array, policy: Policy, dtype: npt.DTypeLike) -> Channels:
    parts = list(start) if policy.channels > 1 else [start]
    if len(parts) != policy.channels:
        raise RequestError(f"mode {policy.name!r} takes a pair of start arrays (for, against)")
    arrays = [np.array(part, dtype) for part in parts]
    for array in arrays:
        if array.shape != y.shape:
            raise RequestError(f"start has shape {array.shape}, the output {y.shape}")
        if not np.isfinite(array).all():
            raise RequestError("start holds NaN or Inf")
    return arrays


def find_target(target: Any, y: Array, task: str) -> Array | None:
    """int64[samples] of entries of each flattened sample; int64[samples, 2] for generation."""
    if task == "generation":
        return _positions(target, y)
    if task == "segmentation":
        if target is not None:
            raise RequestError(
                "segmentation explains the pixels over the threshold; it takes no target"
            )
        return None
    entries = y[0].size
    if target is None:
        if task in ("regression",):
            return None
        return y.reshape(len(y), -1).argmax(1).astype(np.int64)
    if isinstance(target, tuple):
        try:
            flat = np.ravel_multi_index(tuple(int(t) for t in target), y.shape[1:])
        except (ValueError, TypeError):
            raise RequestError(
                f"target {target} does not fit an output of shape {y.shape[1:]}"
            ) from None
        return np.full(len(y), flat, np.int64)
    asked = np.asarray(target)
    if asked.dtype.kind not in "iu" or asked.size not in (1, len(y)):
        raise RequestError(f"target is a class index, or one per sample ({len(y)}); got {target!r}")
    asked = np.broadcast_to(asked.reshape(-1), (len(y),)).astype(np.int64)
    if ((asked < -entries) | (asked >= entries)).any():
        raise RequestError(
            f"target {target!r} is out of range: the output has {entries} entries per sample"
        )
    return np.where(asked < 0, asked + entries, asked)


def _positions(target: Any, y: Array) -> Array:
    if y.ndim != 3:
        raise RequestError(
            f"generation explains an output [batch, position, token], not one of shape {y.shape}"
        )
    asked = np.asarray((-1, -1) if target is None else target)
    if asked.ndim == 0:
        asked = np.array([-1, int(asked)])
    if asked.dtype.kind not in "iu" or asked.shape[-1] != 2 or asked.ndim > 2:
        raise RequestError(
            "generation takes target=token or (position, token), or one such pair per sample"
        )
    asked = np.broadcast_to(asked, (len(y), 2)).astype(np.int64)
    position = np.where(asked[:, 0] < 0, asked[:, 0] + y.shape[1], asked[:, 0])
    best = y[np.arange(len(y)), position].argmax(1)
    token = np.where(asked[:, 1] < 0, best, asked[:, 1])
    if (position < 0).any() or (position >= y.shape[1]).any() or (token >= y.shape[2]).any():
        raise RequestError(f"target {target!r} is out of range for an output of shape {y.shape}")
    return np.stack([position, token], 1)
