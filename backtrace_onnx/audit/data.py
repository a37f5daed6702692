"""The rows that an audit runs on: inputs of the model, and labels, ids and groups."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from backtrace_onnx.audit.row_reading import read_rows
from backtrace_onnx.data.encoding import opens_files
from backtrace_onnx.data.identity import hash_block
from backtrace_onnx.data.reading import Data as Rows
from backtrace_onnx.data.reading import DataFile, find_files
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.shared_inputs import shared_inputs
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.report.picture_style import shortened

Array = npt.NDArray[Any]
_LONGEST = 80  # of a text that evidence tells


def _numbered(row: int) -> str:
    return f"row {row + 1}"


@dataclass(frozen=True)
class Data:
    """Rows of data.

    Attributes:
        feeds: arrays [rows, ...] by input; those in `shared` are one for all rows.
        count: number of rows.
        names: what the entries of inputs are called, where a table told.
        labels: str[rows], the true answers as they are written, "" of rows without; None where
            there are none.
        sha256: of the files' content.
        groups, ids: str[rows] by column: which people a row is about; how users find it again.
        shown: str[rows], the file or the text that a row is; None where it is neither.
        notes: what was left out or assumed in reading.
        label: the column of the labels, "" where there are none.
        place: what messages call a row, counted from 0: its file, and where it lies there.
    """

    feeds: Mapping[str, Array]
    count: int
    names: Mapping[str, tuple[str, ...]]
    labels: Array | None
    sha256: str
    shared: frozenset[str] = frozenset()
    groups: Mapping[str, Array] = field(default_factory=dict)
    ids: Mapping[str, Array] = field(default_factory=dict)
    shown: Array | None = None
    notes: tuple[str, ...] = ()
    label: str = ""
    place: Callable[[int], str] = _numbered

    def rows(self, index: Array) -> dict[str, Array]:
        """Some rows of every input."""
        return {n: x if n in self.shared else x[index] for n, x in self.feeds.items()}

    def told(self, row: int) -> dict[str, Any]:
        """How evidence names a row, counted from 0: by its id, and the file or text that it is."""
        own: dict[str, Any] = {"row": int(row)}
        ids = [(name, column[row]) for name, column in self.ids.items() if column[row]]
        if ids:
            several = ", ".join(f"{name} {value}" for name, value in ids)
            own |= {"id": ids[0][1] if len(ids) == 1 else several}
        if self.shown is not None:
            own |= {"input": shortened(" ".join(str(self.shown[row]).split()), _LONGEST)}
        return own


def read_data(rows: Rows, graph: Graph, sidecar: Sidecar | None, asked: KeptColumns) -> Data:
    """The rows of files, or rows at hand, as data sets are read.

    Args:
        asked: columns that are labels, ids and groups; default: those of the sidecar's "columns"
            that the data have.

    Raises InputError for a file that cannot be read or does not fit, RequestError for inputs whose
    samples do not lie along the first axis.
    """
    for name in graph.inputs:
        axis = graph.samples.get(name)
        if axis is not None and axis != 0:
            raise RequestError(
                f"samples of input {name!r} lie along axis {int(axis)}; an audit takes models "
                "whose samples lie along the first"
            )
    files = find_files(rows, graph, opens=opens_files(sidecar))
    kept = asked.over(_there(files, sidecar.columns if sidecar else KeptColumns()))
    found = read_rows(files, graph, sidecar, kept)
    shared = shared_inputs(graph)
    counts = {len(x) for name, x in found.feeds.items() if name not in shared}
    if counts <= {0}:
        raise InputError(f"{', '.join(file.called for file in files)}: no rows")
    if len(counts) != 1:
        raise InputError(f"inputs hold {sorted(counts)} rows; there must be as many of each")
    return Data(
        found.feeds,
        counts.pop(),
        found.names,
        found.cells[kept.labels[0]] if len(kept.labels) == 1 else None,
        hash_files(files),
        shared & {*found.feeds},
        {name: found.cells[name] for name in kept.groups},
        {name: found.cells[name] for name in kept.ids},
        found.shown,
        found.notes,
        kept.labels[0] if len(kept.labels) == 1 else "",
        found.place,
    )


def _there(files: Sequence[DataFile], said: KeptColumns) -> KeptColumns:
    """Those columns that data have, as far as their first rows tell."""
    if not said.names:
        return said
    first = next((block for file in files for block in file.blocks(1)), None)
    columns = () if first is None else tuple(first.columns)
    roles = (said.labels, said.ids, said.groups)
    return KeptColumns(*(tuple(name for name in own if name in columns) for own in roles))


def hash_files(files: Sequence[DataFile]) -> str:
    """The SHA-256 of the contents of files and of how long each is, or of rows at hand."""
    if files[0].given is not None:
        return hash_block(files[0].given)
    digest = hashlib.sha256()
    for path in (path for file in files for path in file.paths):
        size = path.stat().st_size if isinstance(path, Path) else path.size
        digest.update(f"{size}:".encode())
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    for name, array in files[0].beside.items():
        digest.update(f"{name}:{array.dtype}{array.shape}:".encode() + array.tobytes())
    return digest.hexdigest()


__all__ = ["Data", "hash_files", "read_data"]
