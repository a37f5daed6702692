"""LRP-epsilon's stabiliser, eagerly: the scale of every sample's units, then all units at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.layout import FIRST, Samples
from backtrace_onnx.kernels import damping
from backtrace_onnx.kernels.threads import GRAIN, cut, run_all
from backtrace_onnx.ops.policy import SMALLEST_MASS

Array = npt.NDArray[Any]


def add_squares(t: Array, samples: Samples, axis: int | None) -> Array:
    """Sums of squares of units, and how many there are, float64[2, samples]."""
    outer, of_scale = _rows(t, samples, axis)
    sums = np.zeros(samples.count)
    laid = np.ascontiguousarray(t).reshape(outer, -1)
    damping.add_squares(laid, of_scale, sums)
    return np.stack([sums, np.bincount(of_scale, minlength=samples.count) * laid.shape[1]])


def _rows(t: Array, samples: Samples, axis: int | None) -> tuple[int, Array]:
    """How many rows units are laid in, and whose scale is that of each."""
    outer, sample = samples.rows(t.shape, axis)
    return outer, np.zeros_like(sample) if getattr(axis, "mixed", False) else sample


def damp(
    t: Array,
    m: Array,
    epsilon: float,
    samples: Samples,
    axis: int | None,
    squares: Array | None = None,
    *,
    ledger: bool,
) -> tuple[Array, Array | None]:
    """m |t| / (|t| + epsilon rms t), and by sample what t is worth less by it, float64[samples].

    Units t and slopes m are alike in shape, without gaps. None in place of totals where no ledger
    is kept. `squares`: those of the sample's units, if there are more of them than these.
    """
    if samples.count == 1 and squares is None and t.size < 2 * GRAIN:
        return _damp_one(t, m, epsilon, ledger=ledger)
    _, sample = samples.rows(t.shape, axis)
    outer, of_scale = _rows(t, samples, axis)
    laid, slopes = t.reshape(outer, -1), m.reshape(outer, -1)
    sums, sizes = add_squares(t, samples, axis) if squares is None else squares
    least = _least(epsilon, sums, sizes, t.dtype)
    kept = np.empty_like(laid)
    along = 0 if outer > 1 else 1
    parts = cut(laid.shape[along], laid.size)
    lost = np.zeros((len(parts), samples.count))
    calls = []
    for part, of_part in zip(parts, lost, strict=True):
        laid_in, slopes_in, kept_in = (_part(x, part, along) for x in (laid, slopes, kept))
        scales, of = (x[part] if along == 0 else x for x in (of_scale, sample))
        calls.append(partial(damping.damp, laid_in, slopes_in, scales, least, of, kept_in, of_part))
    run_all(calls)
    if not ledger:
        return kept.reshape(t.shape), None
    return kept.reshape(t.shape), samples.spread(lost.sum(0), t.shape, axis)


def _damp_one(t: Array, m: Array, epsilon: float, *, ledger: bool) -> tuple[Array, Array | None]:
    """The same for one sample whose units one thread does, with no detour."""
    laid, sums, lost = t.reshape(1, -1), np.zeros(1), np.zeros(1)
    damping.add_squares(laid, FIRST, sums)
    kept = np.empty_like(laid)
    least = _least(epsilon, sums, laid.size, t.dtype)
    damping.damp(laid, m.reshape(1, -1), FIRST, least, FIRST, kept, lost)
    return kept.reshape(t.shape), lost if ledger else None


def _least(epsilon: float, sums: Array, sizes: Any, dtype: np.dtype[Any]) -> Array:
    """What is added to the size of units, by sample: `epsilon` times their root mean square."""
    scale = np.sqrt(sums / np.maximum(sizes, 1))
    least: Array = np.maximum(epsilon * scale, SMALLEST_MASS).astype(dtype)
    return least


def switch(y: Array, m: Array) -> Array:
    """Slopes m where y is positive, 0 elsewhere; both are alike in shape, without gaps."""
    made = np.empty_like(m)
    flat = [x.reshape(-1) for x in (y, m, made)]
    parts = cut(m.size, m.size)
    if len(parts) == 1:
        damping.switch(*flat)
        return made
    run_all([partial(damping.switch, *(x[part] for x in flat)) for part in parts])
    return made


def _part(x: Array, part: slice, along: int) -> Array:
    return x[part] if along == 0 else x[:, part]


__all__ = ["add_squares", "damp", "switch"]
