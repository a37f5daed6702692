"""Relevance of tensors inside under methods that take means along lines: their conductance.

A tensor's is the sum over the parts of a line of its slope there times what it changes by
(Dhamdhere et al. 2018, arXiv 1805.12233): every layer that all ways pass has the whole difference
of the scores. So the books of single nodes are kept as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walk_points import Point, Slopes
from backtrace_onnx.engines.walker import Walker
from backtrace_onnx.propagation.ledger import KINDS, Entry, Ledger

Array = npt.NDArray[Any]
Points = Callable[[Walker, int], Iterable[Point]]


@dataclass
class InsideSums:
    """What the points of a row add up to: what tensors are told, their slopes, books of nodes."""

    relevance: dict[str, Array] = field(default_factory=dict)
    slopes: dict[str, Array] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, found: Slopes, share: float, width: float) -> None:
        """Add those of a point, `share` times, and its slopes `width` times."""
        _add(self.relevance, found.kept, share)
        _add(self.slopes, found.kept_slopes, width)
        for name, entry in found.ledger.items():
            known = self.entries.get(name)
            books = {
                kind: share * getattr(entry, kind) + (getattr(known, kind) if known else 0)
                for kind in KINDS
            }
            sent = dict(known.sent) if known else {}
            _add(sent, entry.sent, share)
            self.entries[name] = Entry(entry.node, entry.operator, **books, sent=sent)


def _add(sums: dict[str, Array], found: Mapping[str, Array], weight: float) -> None:
    for name, x in found.items():
        sums[name] = sums[name] + weight * x if name in sums else weight * x


def told_inside(
    walker: Walker, made: Outcome, keep: Collection[str], points: Points, share: float = 1.0
) -> Outcome:
    """An outcome with the relevance and the mean slopes of tensors inside, and the nodes' books.

    Args:
        keep: the tensors.
        points: of a row of a walker, with their spans. share: of each line among all of a row.
    """
    wide = walker.keeping(keep, span=True)
    rows = [InsideSums() for _ in wide.rows]
    for row, sums in enumerate(rows):
        for width, found in wide.spanned(points(wide, row)):
            sums.add(found, share, share * width)
    relevance, slopes = (
        {name: [wide.joined(name, [getattr(sums, kind) for sums in rows])] for name in names}
        for kind, names in (("relevance", rows[0].relevance), ("slopes", rows[0].slopes))
    )
    books = {**joined_books([sums.entries for sums in rows]), **made.ledger}
    return replace(
        made,
        relevance={**relevance, **made.relevance},
        slopes={**slopes, **made.slopes},
        ledger=Ledger(books, made.ledger.total()),
    )


def joined_books(rows: Sequence[Mapping[str, Entry]]) -> dict[str, Entry]:
    """The books of the nodes for the samples of all rows."""

    def joined(every: Sequence[Entry], kind: str) -> Array:
        return np.concatenate([getattr(entry, kind) for entry in every], 1)

    found = {}
    for name, first in rows[0].items():
        every = [row[name] for row in rows]
        sent = {t: np.concatenate([e.sent[t] for e in every], 1) for t in first.sent}
        books = {kind: joined(every, kind) for kind in KINDS}
        found[name] = Entry(first.node, first.operator, **books, sent=sent)
    return found


__all__ = ["InsideSums", "told_inside"]
