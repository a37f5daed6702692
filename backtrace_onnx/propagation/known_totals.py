"""Relevance whose total a walk knows: the books need not add it up again."""

from __future__ import annotations

from collections.abc import Callable

from backtrace_onnx.ops.vocabulary import Ops, Value


class KnownTotal:
    """Relevance of a tensor.

    Attributes:
        total: by sample.
        entries: its entries, or what makes them, in the order of this tensor or of one that it is
            laid out as.
    """

    __slots__ = ("entries", "total")

    def __init__(self, total: Value, entries: Value) -> None:
        self.total, self.entries = total, entries


def total_of(x: Value, axis: Callable[[], int | None], ops: Ops) -> Value:
    """The total of relevance by sample; `axis` tells along which axis samples lie."""
    return x.total if type(x) is KnownTotal else ops.total(x, axis())


def entries_of(x: Value) -> Value:
    """The entries of relevance."""
    if type(x) is not KnownTotal:
        return x
    return entries_of(x.entries() if callable(x.entries) else x.entries)


__all__ = ["KnownTotal", "entries_of", "total_of"]
