"""LRP-epsilon's stabiliser, eagerly: the scale of every sample's units, then all units at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.kernels import damping
from backtrace_onnx.kernels.threads import cut, run_all
from backtrace_onnx.ops.policy import SMALLEST_MASS

Array = npt.NDArray[Any]


def damp(
    t: Array, m: Array, epsilon: float, samples: Samples, axis: int | None, *, ledger: bool
) -> tuple[Array, Array | None]:
    """m |t| / (|t| + epsilon rms t), and by sample what t is worth less by it, float64[samples].

    Units t and slopes m are alike in shape, without gaps. None in place of totals where no ledger
    is kept.
    """
    outer, sample = samples.rows(t.shape, axis)
    laid, slopes = t.reshape(outer, -1), m.reshape(outer, -1)
    of_scale = np.zeros_like(sample) if getattr(axis, "mixed", False) else sample
    sums = np.zeros(samples.count)
    damping.add_squares(laid, of_scale, sums)
    sizes = np.bincount(of_scale, minlength=samples.count) * laid.shape[1]
    scale = np.sqrt(sums / np.maximum(sizes, 1))
    least = np.maximum(epsilon * scale, SMALLEST_MASS).astype(t.dtype)
    kept = np.empty_like(laid)
    along = 0 if outer > 1 else 1
    calls = [
        partial(
            damping.damp, *(_part(x, part, along) for x in (laid, slopes)),
            of_scale[part] if along == 0 else of_scale, least, _part(kept, part, along),
        )
        for part in cut(laid.shape[along], laid.size)
    ]  # fmt: skip
    run_all(calls)
    if not ledger:
        return kept.reshape(t.shape), None
    lost = np.zeros(samples.count)
    damping.add_lost(laid, slopes, kept, sample, lost)
    return kept.reshape(t.shape), samples.spread(lost, t.shape, axis)


def _part(x: Array, part: slice, along: int) -> Array:
    return x[part] if along == 0 else x[:, part]


__all__ = ["damp"]
