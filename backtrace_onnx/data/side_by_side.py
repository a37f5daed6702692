"""Files of several inputs, whose rows lie side by side: `image=pictures/*.png rate=rates.npy`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import InputError


def side_by_side(streams: Mapping[str, Iterator[RowBlock]], source: str) -> Iterator[RowBlock]:
    """Blocks whose parts are as many rows of each stream.

    Args:
        streams: blocks by the input that they are for; of "" for those that no other is for.
        source: what messages call the rows.

    Raises InputError where streams are not of one length, or hold rows that cannot be read: what
    lies beside them would have to be left out as well.
    """
    left: dict[str, RowBlock | None] = {name: _next(stream) for name, stream in streams.items()}
    at = 0
    while all(left.values()):
        blocks = {name: block for name, block in left.items() if block is not None}
        count = min(block.rows for block in blocks.values())
        parts = {name: block.take(np.arange(count)) for name, block in blocks.items()}
        numbers = tuple(range(at + 1, at + 1 + count))
        yield RowBlock(source, _columns(parts), "inputs", lines=numbers, parts=parts)
        at += count
        for name, block in blocks.items():
            rest = np.arange(count, block.rows)
            left[name] = block.take(rest) if len(rest) else _next(streams[name])
    if any(left.values()):
        told = ", ".join(
            f"{name or 'the rest'} {'more' if block else at}" for name, block in left.items()
        )
        raise InputError(
            f"{source}: there must be as many rows of each input, and there are: {told}"
        )


def _next(stream: Iterator[RowBlock]) -> RowBlock | None:
    """The next block that has rows. Raises InputError where one cannot be read."""
    for block in stream:
        if block.bad:
            raise InputError(block.bad[0].reason)
        if block.rows:
            return block
    return None


def _columns(parts: Mapping[str, RowBlock]) -> dict[str, Any]:
    """All columns by name; those of the same name are the first's."""
    made: dict[str, Any] = {}
    for part in parts.values():
        for name in part.columns:
            if name not in made:
                made[name] = part.columns[name]
    return made


__all__ = ["side_by_side"]
