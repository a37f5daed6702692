"""Tables of lines, .csv files, read some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from backtrace_onnx.data.arrow_columns import ArrowColumns
from backtrace_onnx.data.plain_lines import PlainLines
from backtrace_onnx.data.remote_files import AnyPath
from backtrace_onnx.data.row_blocks import BadRow, RowBlock, chunks
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.csv_files import has_numbers_only, note_blanks, stream_lines


def csv_blocks(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    """The rows of a file, up to `rows` at a time. Raises InputError where it is no table.

    Plain lines are read by Arrow; from the first on that are not, lines are read one by one.
    """
    try:
        with path.open("rb") as file:
            plain = PlainLines(file)
            notes = note_blanks(str(path), plain.written)
            if plain.header is not None:
                yield from (replace(b, notes=notes) for b in _plain_blocks(path, plain, rows))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if plain.header is not None:
        left = stream_lines(path, "surrogateescape", plain.place)
        yield from (replace(b, notes=notes) for b in _blocks(path, plain.header, left, rows))
        return
    lines = stream_lines(path, "surrogateescape")
    first = next(lines, None)
    if first is None:
        raise InputError(f"{path}: the table is empty")
    if _no_text(first[1]):
        raise InputError(f"{path}: not a .csv file in UTF-8")
    header, notes = [name.strip() for name in first[1]], note_blanks(str(path), first[1])
    if has_numbers_only(header):
        header, lines = [f"column {i}" for i in range(1, len(header) + 1)], chain([first], lines)
        notes = ()
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path}: the header names column {twice!r} twice")
    yield from (replace(b, notes=notes) for b in _blocks(path, header, lines, rows))


def _plain_blocks(path: AnyPath, plain: PlainLines, rows: int) -> Iterator[RowBlock]:
    """The rows up to the first block of lines that are not all plain."""
    at = plain.place.line if plain.place else 0
    while (table := plain.read(rows)) is not None:
        arrow = dict(zip(table.column_names, table.columns, strict=True))
        lines = tuple(range(at + 1, at + 1 + table.num_rows))
        columns = ArrowColumns(arrow, str(path))
        yield RowBlock(str(path), columns, lines=lines, are_lines=True, arrow=arrow)
        at += table.num_rows


def _blocks(
    path: AnyPath, header: Sequence[str], lines: Iterable[tuple[int, list[str]]], rows: int
) -> Iterator[RowBlock]:
    """The rows of lines that were taken apart."""
    for some in chunks(lines, rows):
        wrong = _unfit_lines(some, len(header))
        good = [(n, cells) for n, cells in some if n not in wrong] if wrong else some
        bad = tuple(
            BadRow(str(path), number, f"{path}: line {number}{reason}")
            for number, reason in wrong.items()
        )
        columns = _by_column(header, [cells for _, cells in good])
        numbers = tuple(number for number, _ in good)
        yield RowBlock(str(path), columns, lines=numbers, are_lines=True, bad=bad)


def _by_column(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The cells of lines, column by column."""
    columns = {name: np.empty(len(rows), object) for name in header}
    if rows:
        for column, cells in zip(columns.values(), zip(*rows, strict=True), strict=True):
            column[:] = cells
    return columns


def _unfit_lines(lines: Sequence[tuple[int, Sequence[str]]], width: int) -> dict[int, str]:
    """What is wrong with lines of a table, by their numbers; those that fit are left out."""
    every = chain.from_iterable(cells for _, cells in lines)
    if all(len(cells) == width for _, cells in lines) and not _no_text(every):
        return {}
    wrong = {number: _unfit(cells, width) for number, cells in lines}
    return {number: reason for number, reason in wrong.items() if reason}


def _unfit(cells: Sequence[str], width: int) -> str:
    """What is wrong with a line of a table; "" where nothing is."""
    if len(cells) != width:
        return f" has {len(cells)} values, the header {width}"
    return ": not a text in UTF-8" if _no_text(cells) else ""


def _no_text(cells: Iterable[str]) -> bool:
    """Whether cells hold bytes that are no UTF-8."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return True
    return False
