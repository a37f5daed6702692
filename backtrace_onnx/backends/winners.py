"""Relevance of maxima, computed by kernels: what wins shares it in equal parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.layout import reach
from backtrace_onnx.kernels import scatter
from backtrace_onnx.kernels.threads import cut, run_all
from backtrace_onnx.ops.windows import Window

Array = npt.NDArray[Any]


def split_ties(r: Array, x: Array, best: Array, axes: Sequence[int] | None) -> Array:
    """What `Ops.split_ties` says, in the dtype of r, which has no gaps."""
    if axes is None:
        axes = [a for a in range(x.ndim) if best.shape[a] == 1]
    over = tuple(a % x.ndim for a in axes)
    rest = tuple(a for a in range(x.ndim) if a not in over)
    order = rest + over
    moved = np.ascontiguousarray(x.transpose(order))
    outer = int(np.prod([x.shape[a] for a in rest], dtype=np.int64))
    if not x.size:
        return np.zeros(x.shape, r.dtype)
    out = np.empty((outer, moved.size // outer, 1), r.dtype)
    units = [np.ascontiguousarray(a).reshape(outer, 1) for a in (best, r)]
    scatter.split_ties(moved.reshape(out.shape), *units, out)
    return np.ascontiguousarray(out.reshape(moved.shape).transpose(np.argsort(order)))


def split_windows(r: Array, x: Array, best: Array, window: Window, first: Array) -> Array:
    """What `Ops.split_windows` says; `first` is the padding before every spatial axis."""
    out = np.zeros(x.shape, r.dtype)
    _by_channel(scatter.split_windows, (x, out), (best, r), window, first)
    return out


def split_lines(r: Array, x0: Array, x: Array, window: Window, first: Array) -> Array:
    """What `Ops.split_lines` says; `first` is the padding before every spatial axis."""
    out = np.zeros(x.shape, r.dtype)
    _by_channel(scatter.split_lines, (x0, x, out), (r,), window, first)
    return out


def _by_channel(
    kernel: Callable[..., None],
    tensors: Sequence[Array],
    made: Sequence[Array],
    window: Window,
    first: Array,
) -> None:
    """Call a kernel on tensors [samples, channels, ...], and on what has an entry per window."""
    x, r = tensors[0], made[-1]
    channels, lead = prod(x.shape[:2]), (1,) * (3 - window.rank)
    counts = lead + r.shape[2:]
    flat = [np.ascontiguousarray(a).reshape(channels, -1) for a in tensors]
    units = [np.ascontiguousarray(a).reshape(channels, *counts) for a in made]
    reached = reach(
        lead + x.shape[2:],
        counts,
        lead + tuple(window.kernel),
        lead + tuple(window.strides),
        lead + tuple(window.dilations),
        (0,) * len(lead) + tuple(first.tolist()),
    )
    parts = cut(channels, r.size * prod(window.kernel))
    run_all([partial(kernel, *(a[part] for a in (*flat, *units)), *reached) for part in parts])
