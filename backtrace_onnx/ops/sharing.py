"""How one linear node shares where slopes travel: rules that a composite gives to single nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.ops.policy import Policy

Array = npt.NDArray[Any]
Weighed = Literal["contributions", "ones", "squares", "box"]
"""What a unit's terms are weighed by: what they contribute; 1 each; their squared weights; or what
they contribute beyond the bounds of the input."""


@dataclass(frozen=True)
class Bounds:
    """Between which numbers the entries of a layer's input lie.

    Attributes:
        low, high: one number, or one for each channel.
        after: how many axes of the input come behind that of its channels.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    after: int = 0

    def shaped(self) -> tuple[Array, Array]:
        """Both as arrays that broadcast to the input."""
        shape = (-1, *(1,) * self.after)
        return np.array(self.low).reshape(shape), np.array(self.high).reshape(shape)


@dataclass(frozen=True)
class Sharing:
    """What a linear node does with slopes.

    Attributes:
        policy: shares by contributions; None: the adjoint hands slopes on whole.
        epsilon: stabiliser of the adjoint, relative to the root mean square of a sample's units.
        absolute: whether `epsilon` is a number of the units' own instead.
        weighed: what terms are weighed by, in place of the policy; the inputs are sent relevance.
        bounds: of a box; None: those of the picture that the node reads.
    """

    policy: Policy | None = None
    epsilon: float = 0.0
    absolute: bool = False
    weighed: Weighed = "contributions"
    bounds: Bounds | None = None


PLAIN = Sharing()
