"""Where the rows of an audit lie: the file of each, and its line or number there."""

from __future__ import annotations

from bisect import bisect_right

from backtrace_onnx.data.row_blocks import FILE, RowBlock


class RowPlaces:
    """Places of rows, block by block; whole runs of lines are kept as two numbers."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._blocks: list[tuple[RowBlock, tuple[int, ...] | range]] = []
        self._count = 0

    def add(self, block: RowBlock) -> None:
        """The next rows."""
        lines = block.lines
        run = range(lines[0], lines[0] + len(lines)) if lines else range(1, block.rows + 1)
        kept = run if not lines or lines[-1] - lines[0] == len(lines) - 1 else lines
        columns = {FILE: block.columns[FILE]} if block.kind == "files" else {}
        bare = RowBlock(block.source, columns, block.kind, are_lines=block.are_lines)
        self._starts.append(self._count)
        self._blocks.append((bare, kept))
        self._count += block.rows

    def __call__(self, row: int) -> str:
        """What messages call a row, counted from 0 over all blocks."""
        at = bisect_right(self._starts, row) - 1
        block, lines = self._blocks[at]
        own = row - self._starts[at]
        if block.kind == "files":
            return str(block.columns[FILE][own])
        return f"{block.source}: {'line' if block.are_lines else 'row'} {lines[own]}"


__all__ = ["RowPlaces"]
