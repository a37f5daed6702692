"""Files of a data set, read block by block: tables, arrays, pictures, texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from backtrace_onnx.data.archives import stream_arrays, whole_arrays
from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.csv_blocks import csv_blocks
from backtrace_onnx.data.given_batches import arrow_block, given_rows, is_given
from backtrace_onnx.data.json_blocks import json_file, json_lines
from backtrace_onnx.data.remote_files import AnyPath, find_remote, is_url
from backtrace_onnx.data.row_blocks import FILE, FOLDER, TEXT, BadRow, RowBlock, chunks
from backtrace_onnx.data.side_by_side import side_by_side
from backtrace_onnx.data.text_lines import text_lines
from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import describe
from backtrace_onnx.graph.shared_inputs import shared_inputs
from backtrace_onnx.inputs.array_files import numeric, read_file
from backtrace_onnx.inputs.folder_files import FolderFiles, choose_files, choose_here
from backtrace_onnx.inputs.images import SUFFIXES
from backtrace_onnx.inputs.path_arguments import texts_of
from backtrace_onnx.inputs.sound import SUFFIX as SOUND

Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Any
KINDS = ".csv, .parquet, .json, .jsonl, .npz, .npy, .txt (a text a line), pictures or sound (.wav)"


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, or all of its pictures: what is read in one go.

    Attributes:
        kind: the ending, without its dot; "files" of pictures and sound, "inputs" of `parts`.
        parts: files by the input that they are for, where rows lie side by side.
        shared: names of arrays that are one for all rows. beside: such arrays, of other files.
        given: rows that lie in no file, but were handed over.
        notes: which files beside it are left out, a sentence each.
    """

    paths: tuple[AnyPath, ...]
    kind: str
    parts: Mapping[str, Sequence[DataFile]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    beside: Mapping[str, Any] = field(default_factory=dict)
    given: RowBlock | None = None
    notes: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """What messages call it."""
        if self.given is not None:
            return self.given.source
        if self.parts:
            each = (f"{n}={own[0].called}" if n else own[0].called for n, own in self.parts.items())
            return ", ".join(each)
        more = len(self.paths) - 1
        return self.paths[0].as_posix() + (f" and {more} more" if more else "")

    def blocks(self, rows: int) -> Iterator[RowBlock]:
        """Its rows, up to `rows` at a time; those that cannot be read count among them.

        Raises InputError where the file cannot be read.
        """
        for block in self._blocks(rows):
            if self.beside:
                block = replace(block, shared={**block.shared, **self.beside})
            yield replace(block, notes=(*self.notes, *block.notes)) if self.notes else block

    def _blocks(self, rows: int) -> Iterator[RowBlock]:
        if self.given is not None:
            for at in range(0, self.given.rows, rows):
                yield self.given.take(np.arange(at, min(at + rows, self.given.rows)))
        elif self.parts:
            streams = {
                name: chain.from_iterable(file.blocks(rows) for file in own)
                for name, own in self.parts.items()
            }
            yield from side_by_side(streams, self.called)
        elif self.kind == "files":
            yield from _pictures(self.paths, rows)
        elif self.kind in ("npz", "npy"):
            yield from _arrays(self.paths[0], rows, self.shared)
        else:
            yield from _READERS[self.kind](self.paths[0], rows)


def find_files(data: Data, graph: Graph | None = None, *, opens: bool = True) -> list[DataFile]:
    """The files that are meant: paths, folders and patterns such as `photos/*.png`, in order.

    Of a model, whose `graph` it is, arguments may be `input=file` as well; all of them are then
    read together, a row of each, and so are the others. A data frame, an Arrow table, an array or
    a dict of columns or arrays is one file that is no file. `opens`: whether the model takes
    pictures or sound, of which else none is read that lies beside other data. Raises InputError for
    what is not there, or no data.
    """
    if is_given(data):
        return [DataFile((), "given", given=given_rows(data))]
    given = texts_of(data, "data")
    shared = shared_inputs(graph) if graph else frozenset()
    named: dict[str, list[str]] = {}
    for one in given:
        name, file = _named(os.fspath(one), graph)
        named.setdefault(name, []).append(file)
    beside = {name: _whole(name, named.pop(name)) for name in [*named] if name in shared}
    files = {name: _files(texts, shared, opens) for name, texts in named.items()}
    if not files:
        raise InputError("no data is given")
    found = files.get("", [])
    if [*files] != [""]:
        paths = tuple(path for own in files.values() for file in own for path in file.paths)
        found = [DataFile(paths, "inputs", files)]
    return [replace(file, beside=beside) for file in found] if beside else found


def _files(texts: Iterable[str], shared: frozenset[str], opens: bool) -> list[DataFile]:
    """Files, folders and patterns; pictures behind one another are one."""
    found: list[DataFile] = []
    for text in texts:
        chosen = _expanded(text, opens)
        notes = chosen.notes(text)
        for path in chosen.files:
            kind = _kind(path)
            if kind != "files" and _is_empty(path):
                raise InputError(f"{path}: the file is empty, of 0 bytes: there is nothing to read")
            if kind == "files" and found and found[-1].kind == "files":
                before = found.pop()
                paths, notes = (*before.paths, path), (*before.notes, *notes)
                found.append(DataFile(paths, "files", notes=notes))
            else:
                found.append(DataFile((path,), kind, shared=shared, notes=notes))
            notes = ()
    return found


def _named(text: str, graph: Graph | None) -> tuple[str, str]:
    """The input that an argument is for, "" where it names none, and the file."""
    name, mark, file = text.partition("=")
    if not mark or graph is None or is_url(text) or Path(text).exists():
        return "", text
    if name in graph.inputs:
        if not file:
            raise InputError(f"{text}: names no file for the input")
        return name, file
    if Path(file).exists():
        raise InputError(f"{text}: the model has no input {name!r}; it has: {describe(graph)}")
    return "", text


def _whole(name: str, files: Sequence[str]) -> Any:
    """The array of an input that is one for all rows. Raises InputError."""
    if len(files) > 1:
        raise InputError(f"{files[1]}: input {name!r} is one for all rows, and has a file already")
    path = Path(files[0])
    content = read_file(path) if path.suffix.lower() in (".npy", ".npz", ".json") else path
    if isinstance(content, Mapping) and len(content) == 1:
        content = next(iter(content.values()))
    if isinstance(content, Path | Mapping):
        raise InputError(
            f"{path}: input {name!r} is one for all rows: give one array, as .npy, .npz or .json"
        )
    return numeric(path, content)


def _expanded(text: str, opens: bool) -> FolderFiles[AnyPath]:
    """The files that a path, folder, pattern or URL means. Raises InputError."""
    if is_url(text):
        return _remote(text, opens)
    path = Path(text)
    if path.is_dir():
        inside = choose_here(path, _IN_FOLDERS, opens=opens)
        if not inside.files:
            raise InputError(f"{path}: the folder holds no data; there may be {KINDS}")
        return FolderFiles(inside.files, inside.left)
    if path.exists():
        return FolderFiles((path,))
    if any(mark in text for mark in "*?["):
        root = Path(path.anchor or ".")
        files = sorted(f for f in root.glob(str(path.relative_to(path.anchor))) if f.is_file())
        if files:
            return _matched(text, {file: PurePath(file.name) for file in files}, opens)
        raise InputError(f"{text}: no file is called so")
    raise InputError(f"{path}: no such file")


def _matched(text: str, files: Mapping[AnyPath, PurePath], opens: bool) -> FolderFiles[AnyPath]:
    """Those files of a pattern that are data; .json files where there are no others."""
    found = choose_files(files, _IN_FOLDERS, opens=opens)
    found = found if found.files else choose_files(files, (".json",))
    if not found.files:
        raise InputError(f"{text}: of the files called so none is data; there may be {KINDS}")
    return found


def _remote(url: str, opens: bool) -> FolderFiles[AnyPath]:
    """Files by URL; of a folder those that are data. Raises InputError."""
    every, folder = find_remote(url)
    found: FolderFiles[AnyPath] = FolderFiles(tuple(every))
    named: dict[AnyPath, PurePath] = {f: PurePath(f.stem + f.suffix) for f in every}
    if folder:
        found = choose_files(named, _IN_FOLDERS, opens=opens)
    elif any(mark in url for mark in "*?["):
        found = _matched(url, named, opens)
    if not found.files:
        raise InputError(f"{url}: the folder holds no tables, arrays or texts")
    if any(file.suffix.lower() in (*SUFFIXES, SOUND) for file in found.files):
        raise InputError(f"{url}: pictures and sound are read from this machine; copy them here")
    return found


def _kind(path: AnyPath) -> str:
    suffix = path.suffix.lower()
    if suffix in (*SUFFIXES, SOUND):
        return "files"
    if suffix.removeprefix(".") not in _ENDINGS:
        raise InputError(f"{path}: data are {KINDS}, not {suffix or 'a file without ending'}")
    return suffix.removeprefix(".")


def _is_empty(path: AnyPath) -> bool:
    """Whether a file of this machine has no bytes; of a pipe or URL nobody can say it before."""
    return isinstance(path, Path) and path.is_file() and not path.stat().st_size


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


def _arrays(path: AnyPath, rows: int, shared: frozenset[str]) -> Iterator[RowBlock]:
    at, whole = 1, whole_arrays(path, shared)
    for arrays in stream_arrays(path, rows, shared):
        count = len(next(iter(arrays.values())))
        yield RowBlock(str(path), arrays, "arrays", lines=_numbers(at, count), shared=whole)
        at += count


def _texts(path: AnyPath, rows: int) -> Iterator[RowBlock]:
    for some in chunks(text_lines(path), rows):
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
    "json": json_file,
    "jsonl": json_lines,
    "ndjson": json_lines,
    "txt": _texts,
}
_ENDINGS = (*_READERS, "npz", "npy")
_IN_FOLDERS = tuple(f".{ending}" for ending in _ENDINGS if ending != "json")
"""What of a folder are data: .json files beside them are sidecars and manifests."""
