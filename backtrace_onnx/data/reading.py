"""Files of a data set, read block by block: tables, arrays, pictures, texts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtrace_onnx.data.archives import stream_arrays
from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.csv_blocks import csv_blocks
from backtrace_onnx.data.given_batches import arrow_block
from backtrace_onnx.data.remote_files import AnyPath, find_remote, is_url
from backtrace_onnx.data.row_blocks import FILE, FOLDER, TEXT, BadRow, RowBlock, chunks
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.images import SUFFIXES
from backtrace_onnx.inputs.sound import SUFFIX as SOUND

Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
KINDS = ".csv, .parquet, .jsonl, .npz, .npy, .txt (a text a line), pictures or sound (.wav)"


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, or all of its pictures: what is read in one go.

    Attributes:
        kind: the ending, without its dot; "files" of pictures and sound.
    """

    paths: tuple[AnyPath, ...]
    kind: str

    def blocks(self, rows: int) -> Iterator[RowBlock]:
        """Its rows, up to `rows` at a time; those that cannot be read count among them.

        Raises InputError where the file cannot be read.
        """
        if self.kind == "files":
            yield from _pictures(self.paths, rows)
            return
        yield from _READERS[self.kind](self.paths[0], rows)


def find_files(data: Data) -> list[DataFile]:
    """The files that are meant: paths, folders and patterns such as `photos/*.png`, in order.

    Raises InputError for what is not there, or no data.
    """
    given = [data] if isinstance(data, str | os.PathLike) else list(data)
    paths = [path for one in given for path in _expanded(os.fspath(one))]
    found: list[DataFile] = []
    for path in paths:
        kind = _kind(path)
        if kind == "files" and found and found[-1].kind == "files":
            found[-1] = DataFile((*found[-1].paths, path), "files")
        else:
            found.append(DataFile((path,), kind))
    if not found:
        raise InputError("no data is given")
    return found


def _expanded(text: str) -> list[AnyPath]:
    if is_url(text):
        return _remote(text)
    path = Path(text)
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file() and _known(file))
        if not inside:
            raise InputError(f"{path}: the folder holds no data; there may be {KINDS}")
        return list(inside)
    if path.exists():
        return [path]
    if any(mark in text for mark in "*?["):
        root = Path(path.anchor or ".")
        files = sorted(f for f in root.glob(str(path.relative_to(path.anchor))) if f.is_file())
        if files:
            return list(files)
        raise InputError(f"{text}: no file is called so")
    raise InputError(f"{path}: no such file")


def _remote(url: str) -> list[AnyPath]:
    """Files by URL; of a folder those that are data. Raises InputError."""
    found, folder = find_remote(url)
    kept = [f for f in found if not folder or f.suffix.lower().removeprefix(".") in _READERS]
    if not kept:
        raise InputError(f"{url}: the folder holds no tables, arrays or texts")
    if any(file.suffix.lower() in (*SUFFIXES, SOUND) for file in kept):
        raise InputError(f"{url}: pictures and sound are read from this machine; copy them here")
    return list(kept)


def _known(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts if part not in (".", ".."))
    suffix = path.suffix.lower()
    return not hidden and (suffix in (*SUFFIXES, SOUND) or suffix.removeprefix(".") in _READERS)


def _kind(path: AnyPath) -> str:
    suffix = path.suffix.lower()
    if suffix in (*SUFFIXES, SOUND):
        return "files"
    if suffix.removeprefix(".") not in _READERS:
        raise InputError(f"{path}: data are {KINDS}, not {suffix or 'a file without ending'}")
    return suffix.removeprefix(".")


def _parquet(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    pa = need_arrow()
    import pyarrow.parquet as pq

    at = 1
    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            for batch in file.iter_batches(rows):
                block = arrow_block(batch, str(path))
                yield RowBlock(
                    str(path), block.columns, lines=_numbers(at, batch.num_rows), arrow=block.arrow
                )
                at += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _arrays(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    at = 1
    for arrays in stream_arrays(path, rows):
        count = len(next(iter(arrays.values())))
        yield RowBlock(str(path), arrays, "arrays", lines=_numbers(at, count))
        at += count


def _json_lines(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    keys: tuple[str, ...] | None = None
    shapes: dict[str, tuple[int, ...]] = {}
    for some in chunks(_lines(path), rows):
        good: list[tuple[int, dict[str, Any]]] = []
        bad: list[BadRow] = []
        for number, line in some:
            row, reason = _parsed(line)
            if row is not None and keys is None:
                keys = tuple(row)
                shapes = {key: np.shape(v) for key, v in row.items() if isinstance(v, list)}
            if row is not None:
                reason = _unlike(row, keys or (), shapes)
            if row is not None and not reason:
                good.append((number, row))
            else:
                bad.append(BadRow(str(path), number, f"{path}: line {number}: {reason}"))
        columns = {key: _column([row.get(key) for _, row in good]) for key in keys or ()}
        lines = tuple(number for number, _ in good)
        yield RowBlock(str(path), columns, lines=lines, are_lines=True, bad=tuple(bad))


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


def _column(values: list[Any]) -> Any:
    if values and isinstance(values[0], list):
        return np.array(values)
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _texts(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    for some in chunks(_lines(path), rows):
        good = [(number, line) for number, line in some if line is not None]
        bad = tuple(
            BadRow(str(path), number, f"{path}: line {number}: not a text in UTF-8")
            for number, line in some
            if line is None
        )
        texts = np.empty(len(good), object)
        texts[:] = [line for _, line in good]
        lines = tuple(number for number, _ in good)
        yield RowBlock(str(path), {TEXT: texts}, "texts", lines=lines, are_lines=True, bad=bad)


def _lines(path: AnyPath) -> Iterator[tuple[int, str | None]]:
    """The lines that are not blank, with their numbers; None for what is no UTF-8."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    yield number, None
                    continue
                if text.strip():
                    yield number, text
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _pictures(paths: Sequence[AnyPath], rows: int) -> Iterator[RowBlock]:
    at = 1
    for some in chunks(paths, rows):
        files, folders = np.empty(len(some), object), np.empty(len(some), object)
        files[:] = [path.as_posix() for path in some]
        folders[:] = [Path(path).absolute().parent.name for path in some]
        columns = {FILE: files, FOLDER: folders}
        yield RowBlock("the files", columns, "files", lines=_numbers(at, len(some)))
        at += len(some)


def _numbers(first: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, first + count))


_READERS: dict[str, Callable[[Any, int], Iterator[RowBlock]]] = {
    "csv": csv_blocks,
    "parquet": _parquet,
    "jsonl": _json_lines,
    "ndjson": _json_lines,
    "npz": _arrays,
    "npy": _arrays,
    "txt": _texts,
}
