"""Fresh inputs like the example's, of other sizes where axes are open."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from backtrace_onnx.exporters.comparing import Array, Axes, Feeds

BATCH, SEQUENCE = "batch", "sequence"


def open_axes(proto: onnx.ModelProto) -> dict[str, dict[int, str]]:
    """The axes without a fixed size, by input of a model."""
    found: dict[str, dict[int, str]] = {}
    for value in proto.graph.input:
        dims = enumerate(value.type.tensor_type.shape.dim)
        found[value.name] = {
            axis: dim.dim_param or f"{value.name}:{axis}"
            for axis, dim in dims
            if not dim.HasField("dim_value") or dim.dim_value < 0
        }
    return found


def trials(example: Feeds, axes: Axes, seed: int = 0) -> dict[str, Feeds]:
    """Inputs to compare on, by what they are in words: the example, and random numbers like it.

    They fill the example's range, its upper and its lower quarter, and some part of it, so that
    what the model decides by sums or maxima is decided otherwise somewhere.
    """
    rng = np.random.default_rng(seed)
    made: dict[str, Feeds] = {"the example": example}
    for number, part in enumerate(((0.0, 1.0), (0.75, 1.0), (0.0, 0.25), None), 1):
        sizes = other_sizes(example, axes, 1 + (number + 1) % 2)
        known = [f"{symbol} {size}" for symbol, size in sizes.items() if ":" not in symbol]
        words = ", ".join((f"random inputs {number}", *known))
        made[words] = {
            name: _random(rng, x, _shape(x, axes.get(name, {}), sizes), part)
            for name, x in example.items()
        }
    return made


def other_sizes(example: Feeds, axes: Axes, grow: int = 1) -> dict[str, int]:
    """A size unlike the example's for every open axis: batches grow, sequences get shorter."""
    sizes: dict[str, int] = {}
    for name, own in axes.items():
        for axis, symbol in own.items():
            if name not in example or axis >= example[name].ndim:
                continue
            n = example[name].shape[axis]
            sizes.setdefault(symbol, n + grow if axis == 0 or n < 3 else max(n - grow, 2))
    return sizes


def _shape(x: Array, own: Mapping[int, str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sizes[own[axis]] if axis in own else n for axis, n in enumerate(x.shape))


def _random(
    rng: np.random.Generator, x: Array, shape: tuple[int, ...], part: tuple[float, float] | None
) -> Array:
    """Numbers from a part of the example's range, None: any; texts and booleans drawn from it."""
    if x.dtype.kind in "iu" and x.size:
        return rng.integers(int(x.min()), int(x.max()), shape, x.dtype, endpoint=True)
    if x.dtype.kind != "f" or not x.size:
        return rng.choice(x.reshape(-1), shape) if x.size else np.empty(shape, x.dtype)
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    if low == high:
        low, high = low - 1.0, high + 1.0
    first, last = part or sorted(rng.uniform(0, 1, 2))
    fractions = rng.uniform(first, last, shape)
    return np.asarray(low + (high - low) * fractions, x.dtype)
