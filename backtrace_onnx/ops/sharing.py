"""How one linear node shares where slopes travel: rules that a composite gives to single nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backtrace_onnx.ops.policy import Policy

Weighed = Literal["contributions", "ones", "squares", "box"]
"""What a unit's terms are weighed by: what they contribute; 1 each; their squared weights; or what
they contribute beyond the bounds of the input."""


@dataclass(frozen=True)
class Sharing:
    """What a linear node does with slopes.

    Attributes:
        policy: shares by contributions; None: the adjoint hands slopes on whole.
        epsilon: stabiliser of the adjoint, relative to the root mean square of a sample's units.
        weighed: what terms are weighed by, in place of the policy; the inputs are sent relevance.
        low, high: bounds of the input, of a box.
    """

    policy: Policy | None = None
    epsilon: float = 0.0
    weighed: Weighed = "contributions"
    low: float = 0.0
    high: float = 1.0


PLAIN = Sharing()
