"""Several things in one sentence: the first of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 3


def listed(items: Sequence[str], *, between: str = ", ") -> str:
    """All items where they are few, else the first three and how many are left."""
    more = len(items) - MOST
    return between.join(items[:MOST]) + (f" and {more} more" if more > 0 else "")


__all__ = ["listed"]
