"""What reading a data set tells beside its rows: what was assumed, and which rows are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backtrace_onnx.data.encoding import EncodedRows
from backtrace_onnx.messages.listing import listed


class ReadingNotes:
    """Collects what is told of rows as they are read."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}
        self._bad: list[str] = []

    def add(self, encoded: EncodedRows) -> None:
        """The next rows."""
        self._notes |= dict.fromkeys(note.text for note in encoded.notes)
        self._bad += [bad.reason for bad in encoded.bad]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The rows that are left out, where there are some, and each thing assumed once."""
        return (*left_out_rows(self._bad), *self._notes)


def left_out_rows(reasons: Iterable[str]) -> Sequence[str]:
    """That rows could not be read, and why the first of them could not; () where all could."""
    told = sorted(reasons, key=lambda text: (len(text), text))
    if not told:
        return ()
    why = listed(told, between="; ")
    return (f"{len(told)} row(s) could not be read and were left out: {why}",)


__all__ = ["ReadingNotes", "left_out_rows"]
