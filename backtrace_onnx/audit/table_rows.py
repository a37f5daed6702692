"""Tables that an audit runs on, read some rows at a time, so that only what is kept is held."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.data.reading import find_files
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.arrow_cells import text_places
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.table_inputs import tabled

Array = npt.NDArray[Any]
_ROWS = 4096


@dataclass(frozen=True)
class TableRows:
    """Rows: arrays by input, names of their entries, and cells of columns that are kept."""

    feeds: Mapping[str, Array]
    names: Mapping[str, tuple[str, ...]]
    cells: Mapping[str, Array]


def is_streamed(files: Sequence[Path], graph: Graph, sidecar: Sidecar | None) -> bool:
    """Whether files are tables whose columns fill all inputs by their names."""
    return all(file.suffix.lower() == ".csv" for file in files) and set(
        tabled(graph, sidecar)
    ) == set(graph.inputs)


def read_tables(
    files: Sequence[Path], graph: Graph, sidecar: Sidecar | None, kept: Sequence[str]
) -> TableRows:
    """The rows of files; of columns that are `kept` the cells as texts without blanks around them.

    Raises InputError where a file does not fit.
    """
    encoder = RowEncoder(graph, sidecar, KeptColumns(groups=tuple(kept)))
    feeds: dict[str, deque[Array]] = {}
    cells: dict[str, deque[Array]] = {name: deque() for name in kept}
    names: Mapping[str, tuple[str, ...]] = {}
    for file in find_files(list(files)):
        for block in file.blocks(_ROWS):
            encoded = encoder.encode(block)
            for name, x in encoded.feeds.items():
                feeds.setdefault(name, deque()).append(x)
            names = encoded.names or names
            for name, parts in cells.items():
                parts.append(_texts(block, name))
    every = {name: join_rows(parts) for name, parts in feeds.items()}
    return TableRows(every, names, {name: join_rows(parts) for name, parts in cells.items()})


def join_rows(parts: deque[Array]) -> Array:
    """Arrays behind one another; each is let go of as it is copied."""
    if not parts:
        return np.empty(0, object)
    made = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    at = 0
    while parts:
        part = parts.popleft()
        made[at : at + len(part)] = part
        at += len(part)
    return made


def hash_files(files: Iterable[Path]) -> str:
    """The SHA-256 of the contents of files and of how long each is."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()


def _texts(block: RowBlock, name: str) -> Array:
    """The cells of a column, equal ones as one object."""
    found = text_places(block.arrow[name]) if name in block.arrow else None
    if found is None:
        return np.array([str(value).strip() for value in block.columns[name]], object)
    known = np.empty(len(found[0]), object)
    known[:] = [text.strip() for text in found[0]]
    made: Array = known[found[1]]
    return made


__all__ = ["TableRows", "hash_files", "is_streamed", "join_rows", "read_tables"]
