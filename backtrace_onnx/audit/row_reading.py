"""Rows that an audit holds: read some at a time, so that little else than what is kept is held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.row_places import RowPlaces
from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.data.reading import DataFile
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import typed_inputs
from backtrace_onnx.inputs.arrow_cells import text_places
from backtrace_onnx.inputs.columns import is_missing
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.text.inputs import TextInput, companions

Array = npt.NDArray[Any]
_ROWS, _FILES = 4096, 64


@dataclass(frozen=True)
class ReadRows:
    """Rows as a model takes them, and what lies beside them.

    Attributes:
        feeds: arrays by input. names: of their entries. notes: what was left out or assumed.
        cells: object[rows] by column that is kept, texts without blanks around them; "": nothing.
        shown: object[rows], the file or the text that a row is; None where it is neither.
        place: what messages call a row, counted from 0.
    """

    feeds: Mapping[str, Array]
    names: Mapping[str, tuple[str, ...]]
    cells: Mapping[str, Array]
    shown: Array | None
    notes: tuple[str, ...]
    place: Callable[[int], str]


def read_rows(
    files: Sequence[DataFile], graph: Graph, sidecar: Sidecar | None, kept: KeptColumns
) -> ReadRows:
    """All rows of files; texts are padded to the longest of all.

    Raises InputError where a file does not fit, or rows are of several shapes.
    """
    found = _Collected(files, RowEncoder(graph, sidecar, kept), kept.names)
    unlike = [name for name, parts in found.feeds.items() if len({x.shape[1:] for x in parts}) > 1]
    if unlike:
        found = _Collected(files, RowEncoder(graph, _padding(found, sidecar), kept), kept.names)
    return found.joined()


@dataclass
class _Collected:
    """What files hold, in parts."""

    files: Sequence[DataFile]
    encoder: RowEncoder
    kept: Sequence[str]
    feeds: dict[str, deque[Array]] = field(default_factory=dict)
    shared: dict[str, Array] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read them."""
        self.cells: dict[str, deque[Array]] = {name: deque() for name in self.kept}
        self.shown: deque[Array | None] = deque()
        self.places = RowPlaces()
        for file in self.files:
            for block in file.blocks(_FILES if file.kind == "files" else _ROWS):
                self._add(block)

    def _add(self, block: RowBlock) -> None:
        encoded = self.encoder.encode(block)
        try:
            feeds = typed_inputs(encoded.feeds, self.encoder.graph)
        except InputError as error:
            later = f" (places are counted from {block.place(0)})" if len(self.shown) else ""
            raise InputError(f"{block.source}: {error}{later}") from None
        for name, x in feeds.items():
            if name in encoded.shared:
                self.shared[name] = x
            else:
                self.feeds.setdefault(name, deque()).append(x)
        self.names = encoded.names or self.names
        self.notes |= dict.fromkeys(note.text for note in encoded.notes)
        for name, parts in self.cells.items():
            parts.append(cell_texts(block, name))
        shown = self.encoder.shown(block)
        if block.kind == "files" and shown is not None:
            shown = np.array([Path(path).name for path in shown], object)
        self.shown.append(shown)
        self.places.add(block)

    def joined(self) -> ReadRows:
        """The parts behind one another."""
        feeds = {name: join_rows(parts) for name, parts in self.feeds.items()} | self.shared
        shown = deque(part for part in self.shown if part is not None)
        told = join_rows(shown) if shown and len(shown) == len(self.shown) else None
        cells = {name: join_rows(parts) for name, parts in self.cells.items()}
        return ReadRows(feeds, self.names, cells, told, tuple(self.notes), self.places)


def _padding(found: _Collected, sidecar: Sidecar | None) -> Sidecar:
    """The sidecar, with texts padded to the longest. Raises InputError for other rows."""
    entries = dict(sidecar.inputs) if sidecar else {}
    widths = {name: {x.shape[1:] for x in parts} for name, parts in found.feeds.items()}
    several, padded = {name for name, shapes in widths.items() if len(shapes) > 1}, set()
    for name, entry in entries.items():
        if isinstance(entry, TextInput) and name in several:
            own = companions(name, widths, entry.given)
            if own.mask is None:
                raise InputError(
                    "the model has no attention mask, so that texts of different lengths cannot be "
                    "padded without changing its answer; audit texts of one length"
                )
            entries[name] = replace(entry, length=max(shape[0] for shape in widths[name]))
            padded |= {name, own.mask, own.types, own.positions}
    left = sorted(several - padded)
    if left or sidecar is None:
        told = " and ".join(sorted(map(str, map(list, widths[left[0]]))))
        raise InputError(f"rows of input {left[0]!r} are not all of one shape: {told}")
    return replace(sidecar, inputs=entries)


def join_rows(parts: deque[Any]) -> Array:
    """Arrays behind one another; each is let go of as it is copied."""
    if not parts:
        return np.empty(0, object)
    made = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), np.result_type(*_kinds(parts)))
    at = 0
    while parts:
        part = parts.popleft()
        made[at : at + len(part)] = part
        at += len(part)
    return made


def _kinds(parts: deque[Any]) -> set[np.dtype[Any]]:
    return {part.dtype for part in parts}


def cell_texts(block: RowBlock, name: str) -> Array:
    """object[rows]: the cells of a column as texts, equal ones as one object; "" of none.

    Raises InputError where they are arrays.
    """
    found = text_places(block.arrow[name]) if name in block.arrow else None
    if found is not None:
        known = np.empty(len(found[0]), object)
        known[:] = [text.strip() for text in found[0]]
        made: Array = known[found[1]]
        return made
    cells = np.asarray(block.columns[name])
    if cells.ndim == 2 and cells.shape[1] == 1:
        cells = cells[:, 0]
    if cells.ndim != 1:
        raise InputError(
            f"{block.source}: {name!r} holds arrays of shape {list(cells.shape[1:])}; a label, id "
            "or group is one value a row"
        )
    return np.array(["" if is_missing(v) else _text(v) for v in cells.tolist()], object)


def _text(value: Any) -> str:
    """A value as a text; whole numbers without a point, as a column has them that lacks none."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else str(value).strip()


__all__ = ["ReadRows", "cell_texts", "join_rows", "read_rows"]
