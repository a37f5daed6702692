"""Rows of JSON: an object a line (.jsonl), or a file of objects, columns or arrays (.json)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from backtrace_onnx.data.remote_files import AnyPath
from backtrace_onnx.data.row_blocks import BadRow, RowBlock, chunks
from backtrace_onnx.data.text_lines import text_lines
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.array_files import parsed_json
from backtrace_onnx.inputs.frames import is_records

Row = tuple[int, dict[str, Any] | None, str]
"""The number of a row, and the row, or what is wrong with it."""


def json_lines(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    """The rows of a file with an object a line, up to `rows` at a time. Raises InputError."""
    yield from _alike(path, ((number, *_parsed(line)) for number, line in text_lines(path)), rows)


def json_file(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    """The rows of a .json file, up to `rows` at a time; it is read whole.

    It holds a list of objects, one a row; lists by column or input; or arrays of the only input.
    Raises InputError where it holds something else.
    """
    try:
        with path.open("rb") as file:
            content = parsed_json(file.read(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if is_records(content):
        yield from _alike(path, ((i, row, "") for i, row in enumerate(content, 1)), rows, "row")
        return
    if isinstance(content, Mapping) and content:
        whole = {str(key): _listed(value) for key, value in content.items()}
    elif isinstance(content, list):
        whole = {path.stem: content}
    else:
        raise InputError(f"{path}: holds no rows: lists by column, or a list of objects or arrays")
    lengths = {key: len(value) for key, value in whole.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise InputError(f"{path}: the columns are not of one length: {told}")
    columns = {key: _column(value, f"{path}: {key!r}") for key, value in whole.items()}
    kind = "table" if isinstance(content, Mapping) else "arrays"
    for start in range(0, next(iter(lengths.values())), rows):
        some = {key: column[start : start + rows] for key, column in columns.items()}
        count = len(next(iter(some.values())))
        numbers = tuple(range(start + 1, start + 1 + count))
        yield RowBlock(str(path), some, kind, lines=numbers)  # type: ignore[arg-type]


def _alike(
    path: AnyPath, every: Iterable[Row], rows: int, word: str = "line"
) -> Iterator[RowBlock]:
    """Rows that all have the keys of the first; others are bad."""
    keys: tuple[str, ...] | None = None
    shapes: dict[str, tuple[int, ...]] = {}
    for some in chunks(every, rows):
        good: list[tuple[int, dict[str, Any]]] = []
        bad: list[BadRow] = []
        for number, row, reason in some:
            if row is not None and keys is None:
                keys = tuple(row)
                shapes = {key: np.shape(v) for key, v in row.items() if isinstance(v, list)}
            if row is not None:
                reason = _unlike(row, keys or (), shapes)
            if row is not None and not reason:
                good.append((number, row))
            else:
                bad.append(BadRow(str(path), number, f"{path}: {word} {number}: {reason}"))
        columns = {
            key: _column([row.get(key) for _, row in good], f"{path}: {key!r}")
            for key in keys or ()
        }
        lines = tuple(number for number, _ in good)
        yield RowBlock(str(path), columns, lines=lines, are_lines=word == "line", bad=tuple(bad))


def _parsed(line: str | None) -> tuple[dict[str, Any] | None, str]:
    """A row, or what is wrong with it."""
    if line is None:
        return None, "not a text in UTF-8"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, f"not valid JSON ({error})"
    return (row, "") if isinstance(row, dict) else (None, "is no object in braces")


def _unlike(row: dict[str, Any], keys: Sequence[str], shapes: dict[str, tuple[int, ...]]) -> str:
    """In what a row differs from the first one; "" where it is alike."""
    more = [key for key in row if key not in keys]
    if more:
        return f"has {more[0]!r}, which the first row has not"
    for key in keys:
        value, wanted = row.get(key), shapes.get(key)
        try:
            shape = np.shape(value) if isinstance(value, list) else None
        except ValueError:
            shape = (-1,)
        if shape != wanted:
            return f"{key!r} is {_told(shape)}, in the first row {_told(wanted)}"
        if isinstance(value, dict):
            return f"{key!r} holds an object; a cell is one number, text or list of numbers"
    return ""


def _told(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "one value"
    return "lists of unequal lengths" if shape == (-1,) else f"a list of shape {list(shape)}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _column(values: list[Any], what: str) -> Any:
    """Cells, or an array where they are lists. Raises InputError where these are not alike."""
    if values and isinstance(values[0], list):
        try:
            return np.array(values)
        except ValueError:
            raise InputError(f"{what}: its lists are not all of the same length") from None
    made = np.empty(len(values), object)
    made[:] = values
    return made


__all__ = ["json_file", "json_lines"]
