"""The rows that an audit runs on: inputs of the model, and labels where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.table_rows import TableRows, hash_files, is_streamed, read_tables
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.csv_files import read_table, stream_lines
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.messages.similar_names import find_alike

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Data:
    """Rows of data.

    Attributes:
        feeds: arrays [rows, ...] by input; those in `shared` are one for all rows.
        count: number of rows.
        names: what the entries of inputs are called, where a table told.
        labels: str[rows], the true answers as they are written; None where there are none.
        sha256: of the files' content.
        groups: str[rows] by column: which people a row is about.
    """

    feeds: Mapping[str, Array]
    count: int
    names: Mapping[str, tuple[str, ...]]
    labels: Array | None
    sha256: str
    shared: frozenset[str] = frozenset()
    groups: Mapping[str, Array] = field(default_factory=dict)

    def rows(self, index: Array) -> dict[str, Array]:
        """Some rows of every input."""
        return {n: x if n in self.shared else x[index] for n, x in self.feeds.items()}


def read_data(
    files: Sequence[str],
    graph: Graph,
    sidecar: Sidecar | None,
    label: str | None = None,
    groups: Sequence[str] = (),
) -> Data:
    """Rows of files, each `file` or `name=file`, as `explain` reads them.

    Labels are the column `label`, groups those of `groups`; default: what the sidecar's "columns"
    name, where all files are tables that have them.

    Raises InputError for a file that cannot be read or does not fit, RequestError for texts and
    for inputs whose samples do not lie along the first axis.
    """
    said = _said(files, sidecar.columns.labels if sidecar else ())
    label = label or (said[0] if len(said) == 1 else None)
    groups = groups or _said(files, sidecar.columns.groups if sidecar else ())
    named = [*([] if label is None else [(label, "the labels")]), *((g, "groups") for g in groups)]
    batch = _rows(files, graph, sidecar, named)
    axes = {name: _sample_axis(graph, name) for name in batch.feeds}
    wrong = [name for name, axis in axes.items() if axis not in (0, None)]
    if wrong:
        raise RequestError(
            f"samples of input {wrong[0]!r} lie along axis {axes[wrong[0]]}; an audit takes models "
            "whose samples lie along the first"
        )
    counts = {len(x) for name, x in batch.feeds.items() if axes[name] == 0}
    if counts <= {0}:
        raise InputError(f"{', '.join(files)}: no rows")
    if len(counts) != 1:
        raise InputError(f"inputs hold {sorted(counts)} rows; there must be as many of each")
    shared = frozenset(name for name, axis in axes.items() if axis is None)
    (count,) = counts
    for name, what in named:
        if len(batch.cells[name]) != count:
            told = f"there are {len(batch.cells[name])} values of {name!r} ({what})"
            raise InputError(f"{told} for {count} rows")
    labels = None if label is None else batch.cells[label]
    people = {name: batch.cells[name] for name in groups}
    sha256 = hash_files(map(file_of, files))
    return Data(batch.feeds, count, batch.names, labels, sha256, shared, people)


def _rows(
    files: Sequence[str],
    graph: Graph,
    sidecar: Sidecar | None,
    named: Sequence[tuple[str, str]],
) -> TableRows:
    """Inputs and the named columns of files, of tables some rows at a time."""
    paths = [Path(file) for file in files]
    if all(path.is_file() for path in paths) and is_streamed(paths, graph, sidecar):
        for name, what in named:
            _check_column(paths, name, what)
        return read_tables(paths, graph, sidecar, [name for name, _ in named])
    batch = InputReader(graph, sidecar).read(files)
    if batch.texts:
        raise RequestError("an audit takes tables, arrays and pictures, not texts")
    cells = {name: _column(files, name, what) for name, what in named}
    return TableRows(batch.feeds, batch.names, cells)


def _sample_axis(graph: Graph, name: str) -> int | None:
    found = graph.samples.get(name)
    return None if found is None else int(found)


def file_of(argument: str) -> Path:
    """The file of an argument, `file` or `name=file`."""
    _, mark, rest = argument.partition("=")
    return Path(rest) if mark and not Path(argument).exists() else Path(argument)


def _said(files: Sequence[str], named: Sequence[str]) -> list[str]:
    """Those columns that a sidecar names, where all files are tables that have them."""
    tables = [file_of(file) for file in files]
    if not named or any(table.suffix.lower() != ".csv" for table in tables):
        return []
    there = list(map(_header, tables))
    return [name for name in named if all(name in columns for columns in there)]


def _header(table: Path) -> list[str]:
    """The names of a table's columns. Raises InputError."""
    return [name.strip() for _, cells in islice(stream_lines(table), 1) for name in cells]


def _check_column(tables: Sequence[Path], name: str, what: str) -> None:
    """Raises InputError where a table has no such column."""
    for table in tables:
        columns = _header(table)
        if name not in columns:
            close = find_alike(name, columns)
            meant = f"; did you mean {close[0]!r}?" if close else f"; it has: {', '.join(columns)}"
            raise InputError(f"{table}: has no column {name!r} for {what}{meant}")


def _column(files: Sequence[str], name: str, what: str) -> Array:
    """str[rows] of a column of the data. Raises InputError where there is no such column."""
    tables = [file_of(file) for file in files if file_of(file).suffix.lower() == ".csv"]
    if not tables:
        raise InputError(f"{name!r} ({what}) is a column of a .csv file, and no data are one")
    _check_column(tables, name, what)
    found = [read_table(table).columns[name] for table in tables]
    return np.array([str(value).strip() for part in found for value in part], object)


__all__ = ["Data", "file_of", "read_data"]
