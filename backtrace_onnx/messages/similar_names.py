"""Names that somebody may have meant by another one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


def find_alike(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """Up to three of the known names that are spelled like `name`, likest first.

    Capitals and small letters are alike; where they are all that differs there is no other.
    """
    folded: dict[str, list[str]] = {}
    for word in known:
        folded.setdefault(word.casefold(), []).append(word)
    if name.casefold() in folded:
        return folded[name.casefold()][:3]
    close = get_close_matches(name.casefold(), folded, n=3, cutoff=cutoff)
    found = [word for fold in close for word in folded[fold]]
    return sorted(found, key=lambda word: -SequenceMatcher(None, word, name).ratio())[:3]
