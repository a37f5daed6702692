"""Checking what a caller asks to have explained against an output."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError, RowError
from backtrace_onnx.graph.given_arrays import array_as
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.targets.entries import Columns, find_pairs, flat_targets
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.two_classes import TwoClasses, boundary

Array = npt.NDArray[Any]


def explainable(name: str, y: Any) -> Array:
    """The output itself, if it can be explained.

    Raises RequestError where it holds no floating-point numbers, InputError where it is empty or
    holds NaN or Inf.
    """
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "fV":
        kind = getattr(y, "dtype", type(y).__name__)
        raise RequestError(f"output {name!r} is {kind}, not floating point; choose another output")
    if not y.size:
        raise InputError(f"output {name!r} is empty for these inputs; there is nothing to explain")
    finite = np.isfinite(y if y.dtype.kind == "f" else y.astype(np.float32))
    if not finite.all():
        raise RowError(
            f"output {name!r} holds NaN or Inf for these inputs, first at {_first(~finite)}; "
            "there is nothing to explain"
        )
    return y


def given_start(
    start: Any,
    y: Array,
    policy: Policy,
    dtype: npt.DTypeLike,
    ends: npt.NDArray[np.int64] | None = None,
    scores: Array | None = None,
    sides: Array | None = None,
) -> Channels:
    """The caller's start, one array per channel. Raises RequestError where it does not fit y.

    A start that counts positions from the end of each text has a method `ending(ends)`. A contrast
    is told the `scores` that y is made of, and their `sides` (`heads`), where known.
    """
    if hasattr(start, "ending"):
        start = start.ending(ends)
    if hasattr(start, "between"):
        start = start.between(y, policy, scores, sides)
    elif callable(start):
        _check_takes_two(start, y, policy)
        start = start(y, policy.channels)
    try:
        parts = list(start) if policy.channels > 1 else [start]
    except TypeError:
        parts = [start]
    if len(parts) != policy.channels:
        raise RequestError(
            f"mode {policy.name!r} takes a pair of start arrays (for, against), not {len(parts)}"
        )
    arrays = [np.array(array_as(part, dtype, "start")) for part in parts]
    for array in arrays:
        if array.shape != y.shape:
            raise RequestError(f"start has shape {array.shape}, the output {y.shape}")
        if not np.isfinite(array).all():
            raise RequestError(f"start holds NaN or Inf, first at {_first(~np.isfinite(array))}")
    return arrays


def _check_takes_two(start: Any, y: Array, policy: Policy) -> None:
    try:
        signature(start).bind(y, policy.channels)
    except TypeError as error:
        raise RequestError(
            f"a start that is a function takes the output and the number of channels ({error})"
        ) from None
    except ValueError:
        return  # written in C, perhaps: nothing is known of it


def find_target(
    target: Any,
    y: Array,
    task: str,
    axes: OutputAxes | None = None,
    ends: npt.NDArray[np.int64] | None = None,
    *,
    binary: TwoClasses = "",
    real: npt.NDArray[np.bool_] | None = None,
) -> Array | None:
    """int64[samples] of entries of each flattened sample of y[samples, ...], or None.

    Where the one entry stands for two classes (`binary`): the class, 0 or 1, by default the
    likelier one; an index in a tuple is one of the entry, which is class 1.

    For generation int64[samples, 2], or [samples, positions, 2], of (position, token); `ends` is
    the place after the last token of each text, int64[samples], where padding may follow it. Of an
    output [samples, tokens, classes] the default lies where `real`[samples, tokens] is true.
    Raises RequestError where it does not fit the output.
    """
    if task == "generation":
        return _positions(target, y, ends)
    if task in ENTRY_TASKS and axes is not None and axes.class_axis is not None:
        columns = axes.columns or Columns()
        pairs = find_pairs(target, y, task, axes.class_axis, columns)
        return flat_targets(pairs, y, axes.class_axis, columns)
    if task == "segmentation" and target is not None:
        raise RequestError(
            "segmentation explains the pixels over the threshold; it takes no target"
        )
    if task == "segmentation" or (task == "regression" and target is None):
        return None
    if binary and (target is None or isinstance(target, tuple)):
        likelier = y.reshape(len(y)) >= boundary(binary)
        if target is not None:
            _flat_index(target, y.shape[1:])
            likelier[:] = True
        return likelier.astype(np.int64)
    if target is None:
        return largest(y, real)
    if isinstance(target, tuple):
        return np.full(len(y), _flat_index(target, y.shape[1:]), np.int64)
    return _entries(target, y, 2 if binary else y[0].size)


def largest(y: Array, real: npt.NDArray[np.bool_] | None = None) -> Array:
    """int64[samples]: the largest entry of each flattened sample; as in `find_target`."""
    if real is not None and y.ndim == 3 and real.shape in (y.shape[:2], (1, y.shape[1])):
        y = np.where(real[..., None], y, -np.inf)
    best: Array = y.reshape(len(y), -1).argmax(1).astype(np.int64)
    return best


def _entries(target: Any, y: Array, entries: int) -> Array:
    asked = _integers(target, f"target is a class index, or one per sample ({len(y)})")
    if asked.ndim == 2 and asked.shape[1] == y.ndim - 1 > 1 and len(asked) == len(y):
        return np.array([_flat_index(tuple(row), y.shape[1:]) for row in asked], np.int64)
    if asked.size not in (1, len(y)):
        raise RequestError(
            f"target is a class index, or one per sample ({len(y)}); got {asked.size} of them"
        )
    if ((asked < -entries) | (asked >= entries)).any():
        raise RequestError(f"target {target!r} is out of range: {_held(entries, y[0].size)}")
    return np.broadcast_to(np.where(asked < 0, asked + entries, asked).reshape(-1), (len(y),))


def _held(entries: int, size: int) -> str:
    """What a sample of an output holds, for who asked for something else."""
    if entries == 1:
        return (
            "the output has one entry per sample, a number that is explained as it is; where it is "
            "the score of the second of two classes, name both: labels=, or the sidecar's labels"
        )
    return f"the output has {entries} {'entries' if entries == size else 'classes'} per sample"


def _flat_index(target: tuple[Any, ...], shape: tuple[int, ...]) -> int:
    asked = _integers(target, f"target is an index of an output of shape {shape}")
    limits = np.array(shape, np.int64)
    if len(asked) != len(shape) or ((asked < -limits) | (asked >= limits)).any():
        boxes = len(asked) == 2 == len(shape)
        hint = "; for a box and its class name task='detection'" if boxes else ""
        raise RequestError(
            f"target {target} does not fit an output of shape {shape} per sample{hint}"
        )
    return int(np.ravel_multi_index(tuple(np.where(asked < 0, asked + limits, asked)), shape))


_PAIRS = (
    "generation takes target=token or (position, token), one such pair per sample, or several: "
    "an array [samples, positions, 2]"
)


def _positions(target: Any, y: Array, ends: npt.NDArray[np.int64] | None) -> Array:
    """(position, token) of every sample; negative positions count from its end, -1 is argmax."""
    if y.ndim != 3:
        raise RequestError(
            f"generation explains an output [batch, position, token], not one of shape {y.shape}"
        )
    asked = _pairs(target, len(y))
    end = y.shape[1] if ends is None or len(ends) != len(y) else ends[:, None]
    position = np.where(asked[..., 0] < 0, asked[..., 0] + end, asked[..., 0])
    if ((position < 0) | (position >= y.shape[1]) | (asked[..., 1] >= y.shape[2])).any():
        raise RequestError(f"target {target!r} is out of range for an output of shape {y.shape}")
    best = np.take_along_axis(y.argmax(2), position, 1)
    found = np.stack([position, np.where(asked[..., 1] < 0, best, asked[..., 1])], 2)
    return found[:, 0] if found.shape[1] == 1 else found


def _pairs(target: Any, samples: int) -> npt.NDArray[np.int64]:
    """What was asked for as int64[samples, positions, 2]."""
    asked = _integers((-1, -1) if target is None else target, _PAIRS)
    if asked.ndim == 0:
        asked = np.array([-1, int(asked)])
    if asked.shape == (samples, 2) or asked.shape == (1, 2):
        asked = asked[:, None]
    elif asked.ndim == 2 and samples == 1:
        asked = asked[None]
    if not asked.size or asked.shape[-1] != 2 or asked.ndim == 2 or asked.ndim > 3:
        raise RequestError(f"{_PAIRS}; got {target!r}")
    if asked.ndim == 3 and len(asked) not in (1, samples):
        raise RequestError(f"{_PAIRS}; got {target!r}")
    return np.broadcast_to(asked, (samples, *(asked.shape[1:] if asked.ndim == 3 else (1, 2))))


def _integers(target: Any, what: str) -> npt.NDArray[np.int64]:
    try:
        asked = np.asarray(target)
    except ValueError:
        raise RequestError(f"{what}; got {target!r}") from None
    if asked.dtype.kind not in "iu":
        raise RequestError(f"{what}; got {target!r}")
    return asked.astype(np.int64)


def _first(where: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])
