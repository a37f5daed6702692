"""Conditions of an explanation: parts of tensors through which relevance passes, and no others.

What arrives at such a tensor is multiplied by 1 where it passes and by 0 where it does not (concept
relevance propagation, Achtibat et al. 2023, arXiv 2206.03208). What reaches the inputs on ways
around the tensor is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels


@dataclass(frozen=True)
class Condition:
    """Which entries of a tensor relevance passes.

    Attributes:
        tensor: its name.
        passes: true where it does; broadcast to the tensor, which it must fit.
        guarded: whether the tensor's shape is known too little to tell before it runs.
    """

    tensor: str
    passes: npt.NDArray[np.bool_] = field(compare=False, repr=False)
    guarded: bool = False
    key: tuple[Any, ...] = field(init=False, repr=False)  # equal where the mask is

    def __post_init__(self) -> None:
        passes = np.asarray(self.passes, bool)
        object.__setattr__(self, "key", (passes.shape, passes.tobytes()))

    def parted(self, r: Channels, ops: Ops) -> tuple[Channels, Channels]:
        """What passes, and what is cut. Raises RequestError where arrays do not fit."""
        for x in r:
            check_fits(self.tensor, self.passes.shape, getattr(x, "shape", None))
        passing = [self._times(x, self.passes, ops) for x in r]
        return passing, [self._times(x, ~self.passes, ops) for x in r]

    def _times(self, x: Value, mask: npt.NDArray[np.bool_], ops: Ops) -> Value:
        made = ops.Mul(x, mask.astype(ops.dtype))
        return ops.Reshape(made, ops.Shape(x)) if self.guarded else made


def check_fits(
    tensor: str, mask: tuple[int, ...], shape: tuple[int | str | None, ...] | None
) -> None:
    """Raises RequestError where a mask of this shape does not broadcast to the tensor."""
    if shape is None:
        return
    aligned = (*[1] * (len(shape) - len(mask)), *mask)
    if len(mask) <= len(shape) and all(
        n in (1, size) or not isinstance(size, int) for n, size in zip(aligned, shape, strict=True)
    ):
        return
    raise RequestError(
        f"through: a mask of shape {mask} does not broadcast to tensor {tensor!r} of shape {shape}"
    )


__all__ = ["Condition", "check_fits"]
