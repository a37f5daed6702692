"""Which tensor all ways back from another one lead through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_ROOT = 0


class Dominators:
    """A tree of tensors: every way back from a tensor leads through its ancestors.

    Tensors are added in topological order. Nearest common ancestors are found in logarithmic time
    by jump pointers (Myers, "An applicative random-access stack", 1983).
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names = [""]
        self._parents, self._jumps, self._depths = [_ROOT], [_ROOT], [0]

    def add(self, tensor: str, parent: str | None) -> None:
        """Enter a tensor below its parent; without one its ways back have nothing in common."""
        above = _ROOT if parent is None else self._numbers[parent]
        self._numbers[tensor] = len(self._names)
        jump = self._jumps[above]
        drop, next_drop = (self._depths[x] - self._depths[self._jumps[x]] for x in (above, jump))
        self._names.append(tensor)
        self._parents.append(above)
        self._depths.append(self._depths[above] + 1)
        self._jumps.append(self._jumps[jump] if drop == next_drop else above)

    def nearest(self, tensors: Iterable[str]) -> str | None:
        """The last tensor through which every way back from all of these leads, if there is one."""
        found: int | None = None
        for tensor in tensors:
            number = self._numbers.get(tensor, _ROOT)
            found = number if found is None else self._common(found, number)
        return self._names[found] if found else None

    def above(self, tensor: str) -> Iterator[str]:
        """The tensors through which every way back from one leads, the nearest first."""
        number = self._parents[self._numbers.get(tensor, _ROOT)]
        while number:
            yield self._names[number]
            number = self._parents[number]

    def _common(self, a: int, b: int) -> int:
        if self._depths[a] < self._depths[b]:
            a, b = b, a
        while self._depths[a] > self._depths[b]:
            jumped = self._jumps[a]
            a = jumped if self._depths[jumped] >= self._depths[b] else self._parents[a]
        while a != b:
            if self._jumps[a] != self._jumps[b]:
                a, b = self._jumps[a], self._jumps[b]
            else:
                a, b = self._parents[a], self._parents[b]
        return a


__all__ = ["Dominators"]
