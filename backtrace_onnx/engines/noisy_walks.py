"""SmoothGrad: the mean slope over noisy inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.tensors_inside import InsideSums
from backtrace_onnx.engines.walk_points import Point
from backtrace_onnx.engines.walker import Walker
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.ops.walks import SmoothGrad

Array = npt.NDArray[Any]


def smoothgrad(
    walker: Walker, how: SmoothGrad, told: Callable[[int, int], None], keep: Collection[str] = ()
) -> Outcome:
    """The mean slope at the inputs with noise, the same for every sample.

    `keep`: tensors inside whose mean slopes are told of, too.
    """
    walker = walker.keeping(keep) if keep else walker
    rows: list[dict[str, Array]] = []
    kept: list[InsideSums] = []
    worth: list[dict[str, Array]] = []
    for row, own in enumerate(walker.rows):
        mean = {name: np.zeros(own[name].shape) for name in walker.names}
        kept.append(InsideSums())
        for found in walker.walk(_noisy(walker, how, row)):
            for name, slope in found.slopes.items():
                mean[name] += slope / how.samples
            kept[-1].add(found, 1 / how.samples, 1 / how.samples)
        rows.append(mean)
        worth.append({name: np.nan_to_num(own[name]) * m for name, m in mean.items()})
        told(row + 1, len(walker.rows))
    note = Note(
        f"the mean of {how.samples} slopes at inputs with noise of {how.noise:g} of their range, "
        f"seed {how.seed}"
    )
    inputs = np.concatenate([walker.sums(own) for own in worth])
    made = walker.outcome(worth, walker.score, inputs, (note,), told=rows)
    slopes = {
        name: [walker.joined(name, [own.relevance for own in kept])] for name in kept[0].relevance
    }
    return replace(made, relevance={**slopes, **made.relevance}, slopes=slopes)


def _noisy(walker: Walker, how: SmoothGrad, row: int) -> Iterator[Point]:
    """The inputs of a row with noise, as often as asked."""
    rng = np.random.default_rng(how.seed)
    own = {name: walker.rows[row][name] for name in walker.names}
    for _ in range(how.samples):
        noise = {name: how.noise * walker.noise(name, x, rng) for name, x in own.items()}
        yield Point(row, {name: (x + noise[name]).astype(x.dtype) for name, x in own.items()})


__all__ = ["smoothgrad"]
