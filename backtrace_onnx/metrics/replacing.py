"""What takes the place of the parts of an input that are taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.blurring import blurred
from backtrace_onnx.inputs.columns import mean_present
from backtrace_onnx.metrics.samples import samples_of

Array = npt.NDArray[Any]
NAMES = ("zeros", "mean", "blur", "background")


class Replacement:
    """What inputs are replaced by: a value for every entry of every sample.

    Args:
        x: inputs [samples, ...].
        how: "zeros"; "mean", that of a sample, or of the background where one is given; "blur" (the
            last two axes are rows and columns, or the two before channels of up to 4);
            "background", a row of it drawn anew at every call; or a number or array.
        background: [rows, ...] of samples.
        seed: of the draws.

    Raises RequestError for a word that is none, an array that does not fit, or no background.
    """

    def __init__(
        self, x: Array, how: Any = "zeros", background: Array | None = None, seed: int = 0
    ) -> None:
        self._x, self._seed = x, seed
        if how is None:
            raise RequestError(f"replace is {', '.join(NAMES)}, a number or an array, not None")
        rows = None if background is None else samples_of(background, "background")
        self._rows = None if rows is None else rows.astype(x.dtype)
        if self._rows is not None and self._rows.shape[1:] != x.shape[1:]:
            raise RequestError(
                f"rows of the background are {self._rows.shape[1:]}, samples {x.shape[1:]}"
            )
        if isinstance(how, str) and how not in NAMES:
            raise RequestError(f"unknown replacement {how!r}; there are: {', '.join(NAMES)}")
        if isinstance(how, str) and how == "background" and self._rows is None:
            raise RequestError("replacing by the background needs a background=")
        self._how = how
        self._value = None if self._drawn else self._fixed()

    @property
    def _drawn(self) -> bool:
        return isinstance(self._how, str) and self._how == "background"

    def __call__(self, sample: int, times: int, draw: int = 0) -> Array:
        """[times, ...]: what replaces a sample in each of as many copies of it."""
        if self._value is not None:
            return np.broadcast_to(self._value[sample], (times, *self._x.shape[1:]))
        assert self._rows is not None
        rng = np.random.default_rng((self._seed, sample, draw))
        return self._rows[rng.integers(len(self._rows), size=times)]

    def _fixed(self) -> Array:
        x = self._x
        if not isinstance(self._how, str):
            try:
                return np.broadcast_to(np.asarray(self._how, x.dtype), x.shape)
            except (TypeError, ValueError) as error:
                raise RequestError(f"the replacement does not fit {x.shape} ({error})") from None
        if self._how == "zeros":
            return np.zeros_like(x)
        if self._how == "blur":
            return _blurred(x)
        if self._rows is not None:
            mean = mean_present(self._rows)
        else:
            mean = x.mean(tuple(range(1, x.ndim)), keepdims=True, dtype=np.float64)
        return np.broadcast_to(mean.astype(x.dtype), x.shape)


def _blurred(x: Array) -> Array:
    """Every picture smoothed."""
    channels_last = x.ndim == 4 and x.shape[-1] <= 4 < x.shape[1]
    axes = (x.ndim - 3, x.ndim - 2) if channels_last else (x.ndim - 2, x.ndim - 1)
    if x.ndim < 3 or min(x.shape[axis] for axis in axes) < 2:
        raise RequestError(f"only pictures are blurred, not inputs of shape {x.shape}")
    return blurred(x, axes)


__all__ = ["NAMES", "Replacement"]
