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
    """

    text: str
    sample: int | None = None

    def __str__(self) -> str:
        return self.text if self.sample is None else f"sample {self.sample}: {self.text}"


def about(notes: Iterable[Note], sample: int) -> list[str]:
    """The sentences that concern one sample, each once."""
    mine = (note.text for note in notes if note.sample in (None, sample))
    return list(dict.fromkeys(mine))
