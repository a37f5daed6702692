"""Grad-CAM: a map of one tensor's activations, weighed by their channels' mean slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walker import Walker
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.picture_shapes import place_axes
from backtrace_onnx.messages.notes import Note

Array = npt.NDArray[Any]


def gradcam(walker: Walker, tensor: str, slopes: Array, activations: Array) -> Outcome:
    """The map at a tensor [samples, channels, places ...], enlarged to the inputs' places.

    Where an input has several channels, each has an equal part of the map.
    Raises RequestError where the tensor does not hold the samples, or no input has such places.
    """
    if len(slopes) != walker.count or activations.shape != slopes.shape:
        raise RequestError(
            f"mode gradcam: the first axis of tensor {tensor!r}, of shape {slopes.shape}, does not "
            f"hold the {walker.count} sample(s) of the output; choose another one: tensor="
        )
    places = tuple(range(2, slopes.ndim))
    weights = slopes.mean(places, np.float64, keepdims=True)
    small = np.maximum((weights * activations).sum(1), 0)
    relevance = {
        name: _spread(small, x, axes)
        for name, x in walker.rows[0].items()
        if (axes := _places(walker, name, x, len(places))) is not None
    }
    if not relevance:
        raise RequestError(
            f"mode gradcam: no input has the {len(places)} axes of places that tensor {tensor!r} "
            "has; take mode gradient or attnlrp"
        )
    size = " x ".join(map(str, small.shape[1:]))
    note = Note(f"the map is that of {tensor!r}, {size}, enlarged to the input")
    return walker.outcome([relevance], walker.score, walker.sums(relevance), (note,))


def _places(walker: Walker, name: str, x: Array, count: int) -> tuple[int, ...] | None:
    """The axes of an input [samples, ...] that hold places; None where there are none."""
    if x.dtype.kind == "O" or walker.sample_axis(name) != 0 or not walker.matters(name):
        return None
    axes = place_axes(x.shape[1:], count)
    return None if axes is None else tuple(axis + 1 for axis in axes)


def _spread(small: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """A map [samples, places ...] over all of an input, which adds up to it over the channels."""
    for i, axis in enumerate(axes, 1):
        small = np.moveaxis(
            np.moveaxis(small, i, -1) @ _linear(small.shape[i], x.shape[axis]), -1, i
        )
    shape = [n if axis in (0, *axes) else 1 for axis, n in enumerate(x.shape)]
    others = x.size // max(1, small.size)
    made: Array = np.broadcast_to(small.reshape(shape) / others, x.shape)
    return made


def _linear(before: int, after: int) -> Array:
    """Weights [before, after] of a linear enlargement whose pixels are areas, not points."""
    at = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    made: Array = np.maximum(0, 1 - np.abs(np.arange(before)[:, None] - at))
    return made


__all__ = ["gradcam"]
