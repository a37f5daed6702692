"""Groups of input entries that are one thing to people, and what relevance each of them got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

Totals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Entries that are one thing to people, and the sums of their relevance.

    Attributes:
        members: as they were given; of what is left of an input, its name.
        entries: int64[samples], how many entries it has.
        positive, negative: float64[samples], by channel; `negative` is 0 where there is only one.
    """

    name: str
    members: tuple[str, ...]
    entries: npt.NDArray[np.int64]
    positive: Totals
    negative: Totals

    @property
    def relevance(self) -> Totals:
        """positive - negative: float64[samples]."""
        return self.positive - self.negative


class Groups(Mapping[str, Group]):
    """Groups by name, and the rest of every input: together all the relevance of the inputs."""

    def __init__(self, groups: Mapping[str, Group], rest: Mapping[str, Group]) -> None:
        self._groups = dict(groups)
        self.rest = dict(rest)

    def __getitem__(self, name: str) -> Group:
        return self._groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def total(self) -> Totals:
        """Relevance of all inputs: float64[samples]."""
        parts = [*self._groups.values(), *self.rest.values()]
        total: Totals = np.sum([part.relevance for part in parts], axis=0)
        return total

    def top(self, n: int = 10, *, sample: int = 0) -> list[tuple[str, float]]:
        """Names and relevance of the n largest groups and rests of one sample, largest first."""
        parts = [*self._groups.values(), *self.rest.values()]
        count = len(parts[0].positive) if parts else 0
        if not 0 <= sample < count:
            raise RequestError(f"there is no sample {sample}; there are {count}")
        rows = [(part.name, float(part.relevance[sample])) for part in parts]
        return sorted(rows, key=lambda row: -abs(row[1]))[:n]
