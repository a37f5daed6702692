"""Evidence, which is JSON values of any form, as tables and lists that people can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backtrace_onnx.report.picture_style import shortened

MOST = 20
"""Rows of a table, or entries of a list, that are shown."""
COLUMNS = 8
_LONGEST = 120


@dataclass(frozen=True)
class EvidenceView:
    """A part of the evidence.

    Attributes:
        text: where it is one value, or a list of values.
        head, rows: where it is a table.
        pairs: names and parts, where it has parts of several kinds.
        more: how many rows or parts are not shown.
    """

    text: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    pairs: tuple[tuple[str, EvidenceView], ...] = ()
    more: int = 0


def evidence_view(value: Any) -> EvidenceView:
    """How a value is shown."""
    if isinstance(value, Mapping):
        rows = list(value.items())
        if rows and all(_is_record(own) for _, own in rows):
            return _table([{"": name, **own} for name, own in rows])
        shown = tuple((_short(str(n)), evidence_view(own)) for n, own in rows[:MOST])
        return EvidenceView(pairs=shown, more=max(0, len(rows) - MOST))
    if isinstance(value, list | tuple):
        if len(value) > 0 and all(_is_record(own) for own in value):
            return _table(value)
        texts = [_told(own) for own in value[:MOST]]
        return EvidenceView(", ".join(texts) or "none", more=max(0, len(value) - MOST))
    return EvidenceView(_told(value))


def _is_record(value: Any) -> bool:
    """Whether a value is a row of a table: names with a value or a list of some each."""
    if not isinstance(value, Mapping) or not value or len(value) > COLUMNS:
        return False
    return not any(
        isinstance(own, Mapping) and any(isinstance(v, Mapping | list) for v in own.values())
        for own in value.values()
    )


def _table(records: Sequence[Mapping[str, Any]]) -> EvidenceView:
    head = tuple(dict.fromkeys(name for record in records for name in record))
    rows = tuple(
        tuple(_told(record[name]) if name in record else "" for name in head)
        for record in records[:MOST]
    )
    named = tuple(name.replace("_", " ") for name in head)
    return EvidenceView(head=named, rows=rows, more=max(0, len(records) - MOST))


def _told(value: Any) -> str:
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_short(str(n))} {_told(v)}" for n, v in list(value.items())[:MOST])
    if isinstance(value, list | tuple):
        return " to ".join(map(_told, value)) if _is_interval(value) else _listed(value)
    return _short(str(value))


def _listed(value: Sequence[Any]) -> str:
    return ", ".join(map(_told, value[:MOST])) or "none"


def _is_interval(value: Sequence[Any]) -> bool:
    return len(value) == 2 and all(isinstance(v, float) for v in value) and value[0] <= value[1]


def _short(text: str) -> str:
    return shortened(text, _LONGEST)


__all__ = ["EvidenceView", "evidence_view"]
