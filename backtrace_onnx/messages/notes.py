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
        first: whether it is told before what is explained, as one must know it to read on.
    """

    text: str
    sample: int | None = None
    warning: bool = False
    first: bool = False

    def __str__(self) -> str:
        return self.text if self.sample is None else f"sample {self.sample}: {self.text}"


def about(
    notes: Iterable[Note], sample: int, *, warning: bool | None = None, first: bool | None = None
) -> list[str]:
    """The sentences that concern one sample, each once: warnings, what is told first, the rest.

    With `warning` or `first` those that are, or are not.
    """
    mine = [note for note in notes if note.sample in (None, sample)]
    mine.sort(key=lambda note: (not note.warning, not note.first))
    asked = (n for n in mine if warning in (None, n.warning) and first in (None, n.first))
    return list(dict.fromkeys(note.text for note in asked))
