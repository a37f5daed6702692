"""Remarks that an explanation carries: what was assumed, and what to be careful about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One plain sentence about an explanation.

    Attributes:
        text: the sentence, without a full stop at its end.
        sample: the sample it is about; None where it is about all of them.
        warning: whether the explanation says little because of it: it is then told first.
    """

    text: str
    sample: int | None = None
    warning: bool = False

    def __str__(self) -> str:
        return self.text if self.sample is None else f"sample {self.sample}: {self.text}"


def about(notes: Iterable[Note], sample: int, *, warning: bool | None = None) -> list[str]:
    """The sentences that concern one sample, each once, warnings first (or alone, or left out)."""
    mine = [note for note in notes if note.sample in (None, sample)]
    mine.sort(key=lambda note: not note.warning)
    return list(dict.fromkeys(n.text for n in mine if warning in (None, n.warning)))
