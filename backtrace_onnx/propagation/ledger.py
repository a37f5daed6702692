"""The ledger: where every bit of relevance went, per node, channel and sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

Totals = npt.NDArray[np.float64]
CLOSED = 1e-4
_ROUNDED = 16  # roundings, one after another, that a sample's books may be off by
_CANCELS = 10  # times smaller is what is left of a batch than of its samples, if these mix
KINDS = ("incoming", "data", "constants", "unassigned")


@dataclass(frozen=True)
class Entry:
    """One node's books, each float64[channel, sample].

    incoming = data + constants + unassigned, up to rounding.

    Attributes:
        node, operator: the node's name, and its operator.
        incoming: the relevance that it received.
        data: what it handed on to inputs that carry relevance.
        constants: what biases and constants absorbed.
        unassigned: what nobody was given.
        sent: by tensor how much of `data` it got.
    """

    node: str
    operator: str
    incoming: Totals
    data: Totals
    constants: Totals
    unassigned: Totals
    sent: Mapping[str, Totals] = field(default_factory=dict)

    @property
    def residual(self) -> Totals:
        """incoming - data - constants - unassigned: rounding only."""
        return self.incoming - self.data - self.constants - self.unassigned

    def evened(self) -> Entry:
        """The same books, with an even part of the batch's for every sample."""
        return Entry(
            self.node,
            self.operator,
            _even(self.incoming),
            _even(self.data),
            _even(self.constants),
            _even(self.unassigned),
            {name: _even(totals) for name, totals in self.sent.items()},
        )


class NodeBooks(Mapping[str, Entry]):
    """The entries of a walk's nodes, each made when it is first asked for.

    Attributes:
        books: float64[kind, node, channel, sample], the kinds as in `KINDS`.
    """

    def __init__(
        self,
        operators: Mapping[str, str],
        books: Totals,
        sent: Mapping[str, Mapping[str, Totals]],
    ) -> None:
        """`operators` and `sent` are by node, in the nodes' order."""
        self.books, self._operators, self._sent = books, operators, sent
        self._places = dict(zip(operators, range(len(operators)), strict=True))
        self._made: dict[str, Entry] = {}

    def __getitem__(self, node: str) -> Entry:
        found = self._made.get(node)
        if found is None:
            own = self.books[:, self._places[node]]
            incoming, data, constants, unassigned = own
            parts = (incoming, data, constants, unassigned, self._sent[node])
            found = self._made[node] = Entry(node, self._operators[node], *parts)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class Balance:
    """The whole model's books, each float64[channel, sample].

    start = inputs + constants + unassigned + cut, up to rounding.

    Attributes:
        start: the relevance that the walk began with.
        inputs: what reached the model's inputs.
        constants: what biases and constants absorbed on the way.
        unassigned: what nobody was given.
        cut: what did not pass the conditions of an explanation (`through`).
    """

    start: Totals
    inputs: Totals
    constants: Totals
    unassigned: Totals
    cut: Totals = field(default_factory=lambda: np.zeros((1, 1)))

    @property
    def residual(self) -> Totals:
        """start - inputs - constants - unassigned - cut: rounding only."""
        return self.start - self.inputs - self.constants - self.unassigned - self.cut

    @property
    def relative_residual(self) -> float:
        """Largest |residual| over channels and samples, relative to what moved."""
        books = (self.start, self.inputs, self.constants, self.unassigned, self.cut)
        moved = reduce(np.maximum, map(np.abs, books))
        return float((np.abs(self.residual) / np.where(moved > 0, moved, 1)).max(initial=0.0))

    def evened(self) -> Balance:
        """The same balance, with an even part of the batch's for every sample."""
        books = (self.start, self.inputs, self.constants, self.unassigned, self.cut)
        return Balance(*map(_even, books))


@dataclass(frozen=True)
class Sizes:
    """Sums of |relevance| on the walk, each float64[channel, sample].

    Attributes:
        shared: what the first sums behind the start hand on.
        entered: behind the inputs' own scale and shift.
    """

    start: Totals
    inputs: Totals
    shared: Totals
    entered: Totals

    def evened(self) -> Sizes:
        """The same sizes, with an even part of the batch's for every sample."""
        return Sizes(*map(_even, (self.start, self.inputs, self.shared, self.entered)))


class Ledger(Mapping[str, Entry]):
    """Where relevance went: a mapping of node names to entries, the last node first.

    `total()` is the balance of the whole model.

    Attributes:
        cut: what did not pass a condition of the explanation, by the tensor that is its name.
        sizes: how much relevance there was on the way, whatever its sign.
        mixed: whether samples hand relevance to each other (a score of every picture for every
            text, say); the books are then of the batch, and every sample has an even part of them.
    """

    def __init__(
        self,
        entries: Mapping[str, Entry],
        balance: Balance,
        *,
        mixed: bool = False,
        sizes: Sizes | None = None,
        cut: Mapping[str, Totals] | None = None,
    ) -> None:
        self.cut = dict(cut or {})
        self._entries = entries if isinstance(entries, NodeBooks) else dict(entries)
        self._balance, self.mixed = balance, mixed
        start, inputs = np.abs(balance.start), np.abs(balance.inputs)
        self.sizes = sizes or Sizes(start, inputs, start, inputs)

    def __getitem__(self, node: str) -> Entry:
        return self._entries[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def stacked(self) -> Totals:
        """The books of all nodes together: float64[kind, node, channel, sample]."""
        return stacked(self._entries)

    def total(self) -> Balance:
        """start = inputs + constants + unassigned + cut for the whole model."""
        return self._balance


def settled(
    entries: Mapping[str, Entry],
    balance: Balance,
    sizes: Sizes | None = None,
    cut: Mapping[str, Totals] | None = None,
    rounding: float = 0.0,
) -> Ledger:
    """The ledger of these books, sample by sample where they close so.

    Where samples hand relevance to each other, books close for the whole batch only: of a node, or
    of the model. Every sample then has an even part of them, rather than numbers that mean nothing.

    Args:
        rounding: of the model's numbers, relative: what is rounded is no reason to mix, though it
            may cancel over a batch.
    """
    closed = max(CLOSED, _ROUNDED * rounding)
    residual = balance.relative_residual
    if not residual > closed or not _is_closed(even := balance.evened(), residual, closed):
        ends = (balance.start, balance.inputs)
        moved = closed * max(float(np.abs(end).max(initial=0)) for end in ends)
        incoming, *parts = stacked(entries)
        if not (np.abs(incoming - sum(parts)) <= moved).all():
            entries = {name: _told(entry, moved) for name, entry in entries.items()}
        return Ledger(entries, balance, sizes=sizes, cut=cut)
    evened = {name: entry.evened() for name, entry in entries.items()}
    cut = {name: _even(totals) for name, totals in (cut or {}).items()}
    return Ledger(evened, even, mixed=True, sizes=sizes.evened() if sizes else None, cut=cut)


def _is_closed(even: Balance, residual: float, closed: float) -> bool:
    """Whether books close for a batch, which leave this residual for its samples."""
    left = even.relative_residual
    return left <= closed and left * _CANCELS <= residual


def of_samples(ledger: Ledger, own: slice) -> Ledger:
    """The books of some samples."""
    entries = {
        name: Entry(
            entry.node,
            entry.operator,
            entry.incoming[:, own],
            entry.data[:, own],
            entry.constants[:, own],
            entry.unassigned[:, own],
            {tensor: totals[:, own] for tensor, totals in entry.sent.items()},
        )
        for name, entry in ledger.items()
    }
    balance = Balance(*_columns(ledger.total(), own))
    return Ledger(entries, balance, mixed=ledger.mixed, sizes=Sizes(*_columns(ledger.sizes, own)))


def _columns(books: Any, own: slice) -> Iterator[Totals]:
    every = (getattr(books, field.name) for field in fields(books))
    return (np.broadcast_to(x, books.start.shape)[:, own] for x in every)


def stacked(entries: Mapping[str, Entry]) -> Totals:
    """The books of entries together: float64[kind, node, channel, sample]."""
    if isinstance(entries, NodeBooks):
        return entries.books
    books = [(e.incoming, e.data, e.constants, e.unassigned) for e in entries.values()]
    return np.array(books).swapaxes(0, 1) if books else np.zeros((len(KINDS), 0, 1, 1))


def _told(entry: Entry, rounding: float) -> Entry:
    """A node's books, evened where they close for the batch but not for every sample."""
    if not np.abs(entry.residual).max(initial=0) > rounding:
        return entry
    even = entry.evened()
    return entry if np.abs(even.residual).max(initial=0) > rounding else even


def _even(totals: Totals) -> Totals:
    return np.broadcast_to(totals.mean(axis=-1, keepdims=True), totals.shape).copy()
