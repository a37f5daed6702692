"""The ledger: where every bit of relevance went, per node, channel and sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Totals = npt.NDArray[np.float64]
KINDS = ("incoming", "data", "constants", "unassigned")


@dataclass(frozen=True)
class Entry:
    """One node's books, each float64[channel, sample].

    incoming = data + constants + unassigned, up to rounding. What `data` says was handed on to
    inputs that carry relevance, `constants` went to biases and constants, `unassigned` to nobody.
    `sent` tells which tensor got how much of `data`.
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


@dataclass(frozen=True)
class Balance:
    """The whole model's books, each float64[channel, sample]."""

    start: Totals
    inputs: Totals
    constants: Totals
    unassigned: Totals

    @property
    def residual(self) -> Totals:
        """start - inputs - constants - unassigned."""
        return self.start - self.inputs - self.constants - self.unassigned

    @property
    def relative_residual(self) -> float:
        """Largest |residual| over channels and samples, relative to what moved."""
        moved = np.maximum.reduce(
            [np.abs(x) for x in (self.start, self.inputs, self.constants, self.unassigned)]
        )
        return float(np.max(np.abs(self.residual) / np.where(moved > 0, moved, 1), initial=0.0))


class Ledger(Mapping[str, Entry]):
    """Entries by node name, last node first. `total()` is the balance of the whole model."""

    def __init__(self, entries: Mapping[str, Entry], balance: Balance) -> None:
        self._entries, self._balance = dict(entries), balance

    def __getitem__(self, node: str) -> Entry:
        return self._entries[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def total(self) -> Balance:
        """start = inputs + constants + unassigned for the whole model."""
        return self._balance
