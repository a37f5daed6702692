"""What a policy is: how a unit shares its relevance among contributions.

`where` and `divide` are the words a policy's function is written with beside arithmetic; each
backend has its own way to carry them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

SMALLEST_MASS = 1e-30  # less counts as none

Reading = Literal["absolute", "signed", "split"]
Coefficients = Callable[..., tuple[tuple[Any, Any, Any], ...]]


@dataclass(frozen=True)
class Policy:
    """A way of sharing, for every operator.

    Attributes:
        name: the `mode` users ask for.
        coefficients: the scalar function `(p, n, b, *r) -> ((aP, aN, to_bias), ...)`.
        channels: how many relevance channels travel; the second speaks against the target.
        reading: what the function needs to know. "split": p and n exactly. "absolute": only
            p + n, and aP == aN. "signed": only p - n, and aP == -aN. The last two halve the work;
            they are called with the known quantity as p and n = 0.
        gated: whether a saturating activation that follows silences the saturated side.
        signed: whether relevance may be negative and its sign means something. Explanations then
            start at the scores a probability is made of; others, at what is not negative.
        sided: whether a unit's bias does no more than decide, by the sign of its value, which side
            carries which channel. A unit whose value is defined up to a constant is then read with
            another constant.
        identity: digest of what the function computes (`policy_text.identify`); "" if not known.
    """

    name: str
    coefficients: Coefficients
    channels: int = 1
    reading: Reading = "split"
    gated: bool = False
    identity: str = ""
    signed: bool = False
    sided: bool = False


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`."""
    if hasattr(condition, "where"):
        return condition.where(yes, no)
    return yes if condition else no


def divide(r: Any, mass: Any) -> Any:
    """r / mass, and 0 where there is no mass: such a unit sends nothing."""
    if hasattr(mass, "safe_divide"):
        return mass.safe_divide(r)
    return r / mass if abs(mass) >= SMALLEST_MASS else r * 0
