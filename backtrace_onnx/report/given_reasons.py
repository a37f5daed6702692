"""Reasons in people's own words, as reports show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_CONFIRMED = {True: "confirmed", False: "not confirmed", None: "not tried"}


@dataclass(frozen=True)
class GivenReason:
    """A sentence that somebody wrote, and what of a sample it stands for.

    Attributes:
        code: its short name. features: those that speak against the outcome here.
        relevance: their sum, towards the outcome: negative. share: of the sample's |relevance|.
        confirmed: whether the outcome's score rises as they take other samples' values; None: there
            are no other samples, or they hold the same.
    """

    code: str
    text: str
    features: tuple[str, ...]
    relevance: float
    share: float
    confirmed: bool | None

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "features": list(self.features)}


@dataclass(frozen=True)
class GivenReasons:
    """The reasons of one sample, the strongest first.

    Attributes:
        outcome: what they speak against. denied: whether the sample's answer is another one.
        untold: features that are as strong as these, and for which no sentence was written.
    """

    outcome: str
    denied: bool
    reasons: tuple[GivenReason, ...]
    untold: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "outcome": self.outcome,
            "denied": self.denied,
            "given": [reason.record() for reason in self.reasons],
            "untold": list(self.untold),
        }


def print_reasons(to: Console, given: GivenReasons) -> None:
    """Print the sentences of a sample."""
    from rich.text import Text

    if not (given.denied or given.reasons):
        to.print(Text(f"No reasons are given: the answer is {given.outcome}."))
        return
    to.print(Text(f"Reasons against {given.outcome}:"))
    for reason in given.reasons:
        told = f"{', '.join(reason.features)}; {_CONFIRMED[reason.confirmed]}"
        to.print(Text(f"  {reason.code}  {reason.text} ({told})"))
    if not given.reasons:
        to.print("  none of those that are written speaks against it")
    if given.untold:
        to.print(Text(f"  without a sentence, and as strong: {', '.join(given.untold)}"))


__all__ = ["GivenReason", "GivenReasons", "print_reasons"]
