"""Names that nothing else in a graph has."""

from __future__ import annotations


def fresh_name(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken; from now on it is."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


__all__ = ["fresh_name"]
