"""What the names of open axes tell: which is a batch, and which is time."""

from __future__ import annotations

_BATCHES = frozenset({"n", "b", "bs"})
_LENGTHS = frozenset({"t", "l", "s"})
_TIMES = ("time", "seq", "len", "step", "frame", "token")


def is_called_batch(symbol: str) -> bool:
    """Whether the name of an axis is that of a batch."""
    name = symbol.lower()
    return "batch" in name or name in _BATCHES


def strangeness(symbol: str) -> int:
    """How little the name of an axis looks like that of a batch; names of time look least so."""
    name = symbol.lower()
    if is_called_batch(symbol):
        return 0
    return 2 if name in _LENGTHS or name.startswith(_TIMES) else 1


__all__ = ["is_called_batch", "strangeness"]
