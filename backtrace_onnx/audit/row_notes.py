"""Notes of explanations over many rows: each kind once, and how many rows it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from backtrace_onnx.messages.notes import Note

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class RowNote:
    """A note of rows.

    Attributes:
        text: the sentence; where rows have other numbers in it, with … in their place.
        rows: how many it is about. warning: whether an explanation says little because of it.
    """

    text: str
    rows: int
    warning: bool = False


def note_rows(notes: Iterable[Note], count: int) -> tuple[RowNote, ...]:
    """The notes of an explanation of which the first `count` samples are rows."""
    made = []
    for note in notes:
        if note.sample is None:
            made.append(RowNote(note.text, count, note.warning))
        elif note.sample < count:
            made.append(RowNote(note.text, 1, note.warning))
    return join_notes(made)


def join_notes(notes: Iterable[RowNote]) -> tuple[RowNote, ...]:
    """Notes of other rows each, those alike but for their numbers as one; warnings first."""
    found: dict[str, RowNote] = {}
    for note in notes:
        kind = _NUMBER.sub("…", note.text)
        known = found.get(kind)
        if known is None:
            found[kind] = note
            continue
        text = note.text if note.text == known.text else kind
        found[kind] = RowNote(text, known.rows + note.rows, note.warning)
    return tuple(sorted(found.values(), key=lambda note: not note.warning))


__all__ = ["RowNote", "join_notes", "note_rows"]
