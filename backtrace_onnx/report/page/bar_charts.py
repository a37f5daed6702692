"""Bars: parts of a whole in a row, each from somewhere to somewhere on an axis that rows share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDE = 1000.0
"""Of a bar's drawing, in its own units: it is shown as wide as there is room."""


@dataclass(frozen=True)
class Piece:
    """One rectangle of a bar: its class of style, where it begins and how wide it is."""

    kind: str
    x: float
    width: float


@dataclass(frozen=True)
class Axis:
    """What rows share: the ends of all bars.

    Attributes:
        low, high: at the left and the right end.
    """

    low: float
    high: float

    @classmethod
    def of(cls, ends: Iterable[float]) -> Axis:
        """An axis that all of these numbers, and 0, lie on."""
        values = [0.0, *ends]
        low, high = min(values), max(values)
        return cls(low, high) if high > low else cls(0.0, 1.0)

    def at(self, value: float) -> float:
        """Where a number lies, in the drawing's units."""
        inside = min(max(value, self.low), self.high)
        return round(WIDE * (inside - self.low) / (self.high - self.low), 2)

    @property
    def zero(self) -> float:
        """Where 0 lies."""
        return self.at(0.0)

    def piece(self, kind: str, start: float, end: float) -> Piece:
        """The rectangle between two numbers."""
        left, right = sorted((self.at(start), self.at(end)))
        return Piece(kind, left, round(right - left, 2))

    def stacked(self, parts: Sequence[tuple[str, float]], sign: int = 1) -> list[Piece]:
        """Sizes one behind the other, from 0 outwards; what is negative is left out."""
        made, at = [], 0.0
        for kind, size in parts:
            if size > 0:
                made.append(self.piece(kind, sign * at, sign * (at + size)))
                at += size
        return [piece for piece in made if piece.width >= 0.5]


__all__ = ["Axis", "Piece"]
